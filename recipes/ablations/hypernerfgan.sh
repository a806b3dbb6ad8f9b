#!/bin/sh
# HyperNeRFGAN's ablations (table 4 of the report): baseline, few samples a ray, small patches, no augmentation, half of R1's
# gamma; each with several seeds; a table of means and spreads at the end, and whether the report's order appeared. Figures over kimg
# are in each run's log.jsonl.
# usage: recipes/ablations/hypernerfgan.sh DATASET [OUT] [SEEDS]      (SEEDS: words, "0 1 2")
#   PRESET=t4  FEW=8 (samples)  SMALL=8 (patch)  BASE="--set kimg=200" (for all rows)  EVERY=steps between figures
# Rows that are there already are kept, and a run that was cut off goes on. On carla at 128² the preset and the rows are the report's.
set -eu
DATA=${1:?give a dataset}
D=${2:-runs/ablation-hypernerfgan}
SEEDS=${3:-0 1 2}
PRESET=${PRESET:-t4}; FEW=${FEW:-8}; SMALL=${SMALL:-8}; BASE=${BASE:-}; EVERY=${EVERY:-5000}
HERE=$(dirname "$0")

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
        0) python3 "$HERE/gather_gan.py" "$run" > "$run.json" ;;
        3) echo '{"diverged": true}' > "$run.json" ;;
        *) exit $status ;;
        esac
    done
}

mkdir -p "$D"
fit baseline
fit few-samples --set n_samples="$FEW"
fit small-patch --set patch_size="$SMALL"
fit no-augment --set augment=none --set augment_p=0
fit half-gamma --set r1_gamma=0.5

python3 "$HERE/table.py" "$D" baseline \
    --order "kernel distance (EfficientNet), report" kernel_efficientnet no-augment baseline half-gamma few-samples small-patch \
    --order "recall: fewer modes without augmentation" recall no-augment baseline \
    --order "cloudy rays with few samples" cloudy_share baseline few-samples \
    --order "the loss varies more with half of gamma" loss_spread baseline half-gamma | tee "$D/table.md"
