#!/bin/sh
# VQ3D's ablation (table 3, rows 1 to 7), accumulated instead of pointwise depth (section 3.2), and both depth losses off; each with
# several seeds; a table of means and spreads at the end, and whether the paper's order appeared. Row 2 also with dead codes reset.
# usage: recipes/ablations/vq3d.sh DATASET [OUT] [SEEDS]      (DATASET with inverse depth; SEEDS: words, "0 1")
#   PRESET=laptop32  BASE="--set steps=1200" (for all rows)  BASE2="--set steps=200" (stage 2)  SAMPLES=300  ROWS="full no-depth"
# Rows that are there already are kept, and a run that was cut off goes on.
set -eu
DATA=${1:?give a dataset with inverse depth}
D=${2:-runs/ablation-vq3d}
SEEDS=${3:-0 1}
PRESET=${PRESET:-laptop32}; BASE=${BASE:---set steps=1200}; BASE2=${BASE2:---set steps=200}; SAMPLES=${SAMPLES:-300}
ROWS=${ROWS:-full no-depth neither accumulated no-novel no-gan no-scale no-nerf cnn cnn-no-reset no-triplanes}
HERE=$(dirname "$0")

fit() { # fit ROW SETTING...: every seed that has no result yet; exit 3 (diverged) is a result
    row=$1; shift
    for seed in $SEEDS; do
        run="$D/$row/$seed"
        [ -f "$run.json" ] && continue
        status=0; resume=""
        [ -f "$run/config.json" ] && resume=--resume
        # shellcheck disable=SC2086
        g3d fit-stage1 vq3d --data "$DATA" --preset "$PRESET" $BASE "$@" --seed "$seed" --out "$run" $resume || status=$?
        case $status in
        0) ;;
        3) echo '{"diverged": true}' > "$run.json"; continue ;;
        *) exit $status ;;
        esac
        g3d encode "$run" --data "$DATA" --split all --out "$run/tokens.safetensors" --overwrite
        # shellcheck disable=SC2086
        g3d fit-prior "$run/tokens.safetensors" --kind autoregressive --preset laptop $BASE2 --seed "$seed" --out "$run/prior" --overwrite
        g3d encode "$run" --data "$DATA" --split test --out "$run/held_out.safetensors" --overwrite
        g3d decode "$run" "$run/held_out.safetensors" --render "$run/reconstructed" --overwrite
        g3d sample "$run" --prior "$run/prior" --num "$SAMPLES" --render "$run/sampled" --overwrite
        g3d eval-fid "$DATA" "$run/reconstructed" --split test --out "$run/fid_s1.json" --overwrite
        g3d eval-fid "$DATA" "$run/sampled" --split train --out "$run/fid_s2.json" --overwrite
        for radius in 0.2 0.3; do # novel views of the held-out pictures
            g3d decode "$run" "$run/held_out.safetensors" --cameras "disc:$radius" --render "$run/disc_$radius" --overwrite
            g3d eval-fid "$DATA" "$run/disc_$radius" --split test --out "$run/fid_disc_$radius.json" --overwrite
        done
        python3 "$HERE/gather_vq3d.py" "$run" > "$run.json.part"
        mv "$run.json.part" "$run.json"
    done
}

mkdir -p "$D"
for row in $ROWS; do
    case $row in
    full) fit full ;;
    cnn) fit cnn --set backbone=cnn ;;
    cnn-no-reset) fit cnn-no-reset --set backbone=cnn --set reset_every=0 ;;
    no-gan) fit no-gan --set gan_from=1 --set novel_from=1 ;; # they never begin, whatever BASE says of when
    no-novel) fit no-novel --set novel_from=1 ;; # the main discriminator alone
    no-scale) fit no-scale --set scale_weight=0 ;;
    no-nerf) fit no-nerf --set distortion_weight=0 --set interlevel_weight=0 ;;
    no-depth) fit no-depth --set depth_weight=0 ;;
    no-triplanes) fit no-triplanes --set scene=implicit ;;
    accumulated) fit accumulated --set depth_loss=accumulated ;;
    neither) fit neither --set depth_weight=0 --set scale_weight=0 ;;
    *) echo "there is no row '$row'" >&2; exit 2 ;;
    esac
done

metric=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["metric"])' "$D/full/${SEEDS%% *}/fid_s1.json")
python3 "$HERE/table.py" "$D" full \
    --order "depth needs its loss" disparity_accuracy full no-depth \
    --order "and costs PSNR" psnr_test_db full no-depth \
    --order "accumulated is worse than pointwise" disparity_accuracy full accumulated \
    --order "rays need their losses" disparity_accuracy full no-nerf \
    --order "planes draw better than an MLP" psnr_test_db no-triplanes full \
    --order "with the second discriminator, views at 0.2 are nearer to pictures" "${metric}_disc_0.2" full no-novel \
    --order "and at 0.3" "${metric}_disc_0.3" full no-novel \
    --order "without the depth loss, samples are nearer (table 2)" "${metric}_s2" no-depth full | tee "$D/table.md"
