#!/bin/sh
# HyperNeRFGAN's ablations (table 4 of the report): baseline, few samples a ray, small patches, no augmentation (p from 0.5 to 0), half of
# R1's gamma, and the weights before the first step (table 3's 0 kimg); each with several seeds; FID-1k where it can be had; a table of
# means and spreads at the end, and whether the report's order appeared. Figures over kimg are in each run's log.jsonl.
# usage: recipes/ablations/hypernerfgan.sh DATASET [OUT] [SEEDS]      (SEEDS: words, "0 1 2")
#   PRESET=t4  FEW=8 (samples)  SMALL=8 (patch)  BASE="--set kimg=200" (for all rows)  EVERY=steps between figures
#   EXTRACTOR=auto|inception|efficientnet|random|FILE: see ../fid.sh  SAMPLES=1000 (0: only the runs' own figures, of 256 samples)
# Rows that are there already are kept, and a run that was cut off goes on. On carla at 128² the preset and the rows are the report's.
set -eu
DATA=${1:?give a dataset}
D=${2:-runs/ablation-hypernerfgan}
SEEDS=${3:-0 1 2}
PRESET=${PRESET:-t4}; FEW=${FEW:-8}; SMALL=${SMALL:-8}; BASE=${BASE:-}; EVERY=${EVERY:-5000}; SAMPLES=${SAMPLES:-1000}
HERE=$(dirname "$0")

measured() { # measured RUN: FID-1k, or the distances that EXTRACTOR gives
    [ "$SAMPLES" != 0 ] || return 0
    g3d sample "$1" --num "$SAMPLES" --cameras prior --render "$1/fakes" --overwrite
    sh "$HERE/../fid.sh" "$DATA" "$1/fakes" "$1/fid.json" --split train --overwrite
    rm -r "$1/fakes"
}

fit() { # fit ROW SETTING...: every seed that has no result yet; exit 3 (diverged) is a result
    row=$1; shift
    for seed in $SEEDS; do
        run="$D/$row/$seed"
        [ -f "$run.json" ] && continue
        status=0; resume=""
        [ -f "$run/config.json" ] && resume=--resume
        # shellcheck disable=SC2086
        g3d fit-stage1 hypernerfgan --data "$DATA" --preset "$PRESET" $BASE "$@" --seed "$seed" --checkpoint-every "$EVERY" \
            --out "$run" $resume || status=$?
        case $status in
        0) ;;
        3) echo '{"diverged": true}' > "$run.json"; continue ;;
        *) exit $status ;;
        esac
        measured "$run"
        python3 "$HERE/gather_gan.py" "$run" > "$run.json.part"
        mv "$run.json.part" "$run.json"
    done
}

mkdir -p "$D"
fit baseline
fit start --set kimg=0
fit few-samples --set n_samples="$FEW"
fit small-patch --set patch_size="$SMALL"
fit no-augment --set augment=none
fit half-gamma --set r1_gamma=0.5

# shellcheck disable=SC2046
python3 "$HERE/table.py" "$D" baseline \
    $(python3 "$HERE/leading.py" "$D" "table 4" no-augment baseline half-gamma few-samples small-patch) \
    $(python3 "$HERE/leading.py" "$D" "table 3, training helps" baseline start) \
    --order "recall: fewer modes without augmentation" recall no-augment baseline \
    --order "cloudy rays with few samples" cloudy_share baseline few-samples \
    --order "the loss varies more with half of gamma" loss_spread baseline half-gamma | tee "$D/table.md"
