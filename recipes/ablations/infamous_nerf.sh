#!/bin/sh
# INFAMOUS-NeRF's ablation (table 4: no hypernetwork, no L_sur, no adaptive sampling; the naive table of expressions), each row with
# several seeds, paired by seed; a table of means and spreads at the end, and whether the paper's order appeared. Table 5's refiner is
# that of recipes/infamous-faces.sh, on the same model.
# usage: recipes/ablations/infamous_nerf.sh DATASET [OUT] [SEEDS]      (DATASET as recipes/infamous-faces.sh prepares it)
#   PRESET=faces64  BASE="--set steps=3000 ..." (for all rows)  ROWS="full naive"  PAIRS="2:mouth_stretch 5:grin 8:eye_closed"
#   ITEMS="subject-012/neutral,..." (encoded, from one picture)  DONORS="000 001" (naive: whose epsilon unseen pairs get)
#   JUDGE=pairs: judge the pairs that were never trained alone, which is enough for "full naive"
# pairing=near: all rows see the same pairs of views, so that no-surface lacks the loss alone.
# Rows that are there already are kept, and a run that was cut off goes on.
set -eu
DATA=${1:?give a dataset of faces with held-out pairs}
D=${2:-runs/ablation-infamous}
SEEDS=${3:-0 1 2}
PRESET=${PRESET:-faces64}
BASE=${BASE:---set steps=3000 --set sampling=adaptive --set surface_weight=1 --set surface=checked --set pairing=near}
ROWS=${ROWS:-full no-hypernetwork no-surface no-adaptive naive}
PAIRS=${PAIRS:-2:mouth_stretch 5:grin 8:eye_closed}
ITEMS=${ITEMS:-subject-012/neutral,subject-013/mouth_stretch,subject-014/grin,subject-015/neutral}
DONORS=${DONORS:-000 001 003 004 006 007 009 010 011}
JUDGE=${JUDGE:-all}
HERE=$(dirname "$0")

unseen() { # unseen RUN DONOR: pictures of the pairs that were never trained, with the donor's epsilon, and their figures
    from=""; to=""; names=""
    for pair in $PAIRS; do
        subject=$(printf 'subject-%03d' "${pair%%:*}"); e=${pair#*:}
        from="$from,subject-$2/$e,$subject/neutral"; to="$to,$subject/neutral,$subject/neutral"
        names="$names,$subject/$e,$subject/neutral"
    done
    g3d edit swap "$1" --fields expression --from "${from#,}" --to "${to#,}" --names "${names#,}" --out "$1/pairs.safetensors" --overwrite
    g3d decode "$1" "$1/pairs.safetensors" --render "$1/pairs" --cameras "dataset:$DATA:test" --overwrite
    g3d eval-transfer "$DATA" "$1/pairs" --drawn-from "$1/pairs.safetensors" --objects pairs,train --split test --out "$1/unseen_$2.json" --overwrite
}

novel() { # novel RUN: trained items from held-out cameras
    g3d decode "$1" "$1" --render "$1/novel" --cameras "dataset:$DATA:test" --overwrite
    g3d eval-transfer "$DATA" "$1/novel" --drawn-from "$1" --objects train --split test --out "$1/seen.json" --overwrite
}

from_one_picture() { # from_one_picture RUN: held-out subjects
    g3d encode "$1" --data "$DATA" --split test --items "$ITEMS" --json --out "$1/e.safetensors" --overwrite > "$1/fit.json"
    g3d decode "$1" "$1/e.safetensors" --render "$1/encoded" --cameras "dataset:$DATA:test" --overwrite
    g3d eval-recon "$DATA" "$1/encoded" --drawn-from "$1/e.safetensors" --objects test --split test --out "$1/nvs.json" --overwrite
}

fit() { # fit ROW SETTING...: every seed that has no result yet; exit 3 (diverged) is a result
    row=$1; shift
    for seed in $SEEDS; do
        run="$D/$row/$seed"
        [ -f "$run.json" ] && continue
        status=0; resume=""
        [ -f "$run/config.json" ] && resume=--resume
        # shellcheck disable=SC2086
        g3d fit-stage1 infamous-nerf --data "$DATA" --preset "$PRESET" $BASE "$@" --seed "$seed" --out "$run" $resume || status=$?
        case $status in
        0) ;;
        3) echo '{"diverged": true}' > "$run.json"; continue ;;
        *) exit $status ;;
        esac
        donors=000; [ "$row" = naive ] && donors=$DONORS
        for donor in $donors; do unseen "$run" "$donor"; done
        if [ "$JUDGE" = all ]; then novel "$run"; fi
        if [ "$JUDGE" = all ] && [ "$row" != naive ]; then # whose epsilons have no mean that means something
            from_one_picture "$run"
        fi
        # shellcheck disable=SC2086
        python3 "$HERE/gather_infamous.py" "$run" $donors > "$run.json.part"
        mv "$run.json.part" "$run.json"
    done
}

mkdir -p "$D"
for row in $ROWS; do
    case $row in
    full) fit full ;;
    no-hypernetwork) fit no-hypernetwork --set hypernetwork=none ;;
    no-surface) fit no-surface --set surface_weight=0 --set surface=paper --set surface_sum=false ;; # the two belong to L_sur
    no-adaptive) fit no-adaptive --set sampling=uniform ;;
    naive) fit naive --set expression_table=naive ;;
    *) echo "there is no row '$row'" >&2; exit 2 ;;
    esac
done

python3 "$HERE/table.py" "$D" full \
    --order "hypernetworks fit unseen subjects better" psnr_fit_db no-hypernetwork full \
    --order "and draw them better from elsewhere" psnr_nvs_db no-hypernetwork full \
    --order "the surface loss helps" psnr_nvs_db no-surface full \
    --order "adaptive sampling helps" psnr_nvs_db no-adaptive full \
    --order "a shared table transfers expressions" residual_unseen full naive | tee "$D/table.md"
