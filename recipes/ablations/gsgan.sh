#!/bin/sh
# GSGAN's ablation (table 3 and figure 7): from no constraints to the whole model, each row one setting more, with several seeds; a table
# of means and spreads, whether the paper's order appeared, and the discriminator's logits of generated pictures over the first steps.
# usage: recipes/ablations/gsgan.sh DATASET [OUT] [SEEDS]      (SEEDS: words; PRESET=cars64, BASE="--set kimg=4": settings of all rows)
# Rows that are there already are kept, so an interrupted table goes on; a run that was cut off begins anew.
# The background is drawn from the beginning (background_from_kimg=0).
# EXTRACTOR=auto|inception|efficientnet|random|FILE: see ../fid.sh  SAMPLES=1000 (50000: the paper's; 0: only the runs' own figures, of 256)
set -eu
DATA=${1:?give a dataset}
D=${2:-runs/ablation-gsgan}
SEEDS=${3:-0 1 2}
PRESET=${PRESET:-cars64}; BASE=${BASE:-}; SAMPLES=${SAMPLES:-1000}
HERE=$(dirname "$0")

measured() { # measured RUN: FID, or the distances that EXTRACTOR gives, of samples at the cameras of the data
    [ "$SAMPLES" != 0 ] || return 0
    g3d sample "$1" --num "$SAMPLES" --cameras "dataset:$DATA:train" --render "$1/fakes" --overwrite
    sh "$HERE/../fid.sh" "$DATA" "$1/fakes" "$1/fid.json" --split train --overwrite
    rm -r "$1/fakes"
}

fit() { # fit ROW SETTING...: every seed that has no result yet; exit 3 (diverged) is a result
    row=$1; shift
    for seed in $SEEDS; do
        run="$D/$row/$seed"
        [ -f "$run.json" ] && continue
        status=0
        # shellcheck disable=SC2086
        g3d fit-stage1 gsgan --data "$DATA" --preset "$PRESET" $BASE "$@" --seed "$seed" --overwrite --out "$run" || status=$?
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
free="--set position=free --set anchors=false --set background=false"
near="--set position=local --set anchors=false"
behind="--set background=true --set background_from_kimg=0"
# shellcheck disable=SC2086
{
    fit no-constraints $free --set scale=free
    fit clipped-scale $free --set scale=clipped
    fit position $near --set scale=clipped --set background=false
    fit scale $near --set scale=relative --set background=false
    fit background $near --set scale=relative $behind
    fit anchors --set position=local --set scale=relative $behind --set anchors=true
}

# shellcheck disable=SC2046
python3 "$HERE/table.py" "$D" anchors \
    $(python3 "$HERE/leading.py" "$D" "table 3" anchors background scale position clipped-scale no-constraints) \
    --order "recall" recall no-constraints clipped-scale position scale background anchors | tee "$D/table.md"
# Figure 7: the discriminator's logits of generated pictures, and their deviation within a batch, a colour a row.
g3d compare "$D"/*/[0-9]*/ --curves fake_logit,fake_logit_std --html "$D/figure-7-logits.html" --overwrite > "$D/compare.txt"
