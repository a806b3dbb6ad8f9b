#!/bin/sh
# GSGAN's ablation (table 3 and figure 7): from no constraints to the whole model, each row one setting more, with several seeds; a table
# of means and spreads, whether the paper's order appeared, and the discriminator's logits of generated pictures over the first steps.
# usage: recipes/ablations/gsgan.sh DATASET [OUT] [SEEDS]      (SEEDS: words; PRESET=cars64, BASE="--set kimg=4": settings of all rows)
# Rows that are there already are kept, so an interrupted table goes on; a run that was cut off begins anew.
# The background is drawn from the beginning (background_from_kimg=0).
set -eu
DATA=${1:?give a dataset}
D=${2:-runs/ablation-gsgan}
SEEDS=${3:-0 1 2}
PRESET=${PRESET:-cars64}; BASE=${BASE:-}
HERE=$(dirname "$0")

fit() { # fit ROW SETTING...: every seed that has no result yet; exit 3 (diverged) is a result
    row=$1; shift
    for seed in $SEEDS; do
        run="$D/$row/$seed"
        [ -f "$run.json" ] && continue
        status=0
        # shellcheck disable=SC2086
        g3d fit-stage1 gsgan --data "$DATA" --preset "$PRESET" --set background_from_kimg=0 $BASE "$@" --seed "$seed" --overwrite --out "$run" || status=$?
        case $status in
        0) python3 "$HERE/gather_gan.py" "$run" > "$run.json" ;;
        3) echo '{"diverged": true}' > "$run.json" ;;
        *) exit $status ;;
        esac
    done
}

mkdir -p "$D"
free="--set position=free --set anchors=false --set background=false"
near="--set position=local --set anchors=false"
# shellcheck disable=SC2086
{
    fit no-constraints $free --set scale=free
    fit clipped-scale $free --set scale=clipped
    fit position $near --set scale=clipped --set background=false
    fit scale $near --set scale=relative --set background=false
    fit background $near --set scale=relative --set background=true
    fit anchors --set position=local --set scale=relative --set background=true --set anchors=true
}

python3 "$HERE/table.py" "$D" anchors \
    --order "table 3, kernel distance (EfficientNet)" kernel_efficientnet anchors background scale position clipped-scale no-constraints \
    --order "recall" recall no-constraints clipped-scale position scale background anchors | tee "$D/table.md"
python "$HERE/logits.py" "$D" "$D/figure-7-logits.png"
