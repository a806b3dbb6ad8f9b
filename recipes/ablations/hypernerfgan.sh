#!/bin/sh
# HyperNeRFGAN's ablations (table 4 of the report): baseline, few samples a ray, small patches, no augmentation, half of R1's
# gamma; each with several seeds; one table of means and spreads at the end, and figures over kimg in each run's log.jsonl.
# usage: recipes/ablations/hypernerfgan.sh DATASET [OUT]
#   SEEDS="0 1 2"  PRESET=t4  FEW=8 (samples)  SMALL=8 (patch)  BASE="--set kimg=200" (for all rows)  EVERY=steps between figures
# Rows that are there already are kept, so an interrupted table goes on. On carla at 128² the preset and the rows are the report's.
set -eu
DATA=${1:?give a dataset}
D=${2:-runs/ablation-hypernerfgan}
SEEDS=${SEEDS:-0 1 2}; PRESET=${PRESET:-t4}; FEW=${FEW:-8}; SMALL=${SMALL:-8}; BASE=${BASE:-}; EVERY=${EVERY:-5000}

row() {  # name, seed, settings
    name=$1; seed=$2; shift 2
    out="$D/$name-$seed"
    [ -f "$out/metrics.json" ] && return 0
    resume=""; [ -f "$out/config.json" ] && resume=--resume
    # shellcheck disable=SC2086
    g3d fit-stage1 hypernerfgan --data "$DATA" --preset "$PRESET" $BASE "$@" --seed "$seed" --checkpoint-every "$EVERY" \
        --out "$out" $resume
}

for seed in $SEEDS; do
    row baseline "$seed"
    row few-samples "$seed" --set n_samples="$FEW"
    row small-patch "$seed" --set patch_size="$SMALL"
    row no-augment "$seed" --set augment=none
    row half-gamma "$seed" --set r1_gamma=0.5
done

python3 - "$D" <<'PY'
import json, pathlib, statistics as st, sys
root, figures = pathlib.Path(sys.argv[1]), ("frechet_random", "recall", "cloudy_share", "halo")
print("| row | seeds | " + " | ".join(figures) + " | spread of the loss, last half |")
print("|---|---|" + "---|" * (len(figures) + 1))
for row in ("baseline", "few-samples", "small-patch", "no-augment", "half-gamma"):
    runs = [p for p in sorted(root.glob(f"{row}-*")) if (p / "metrics.json").is_file()]
    if not runs:
        print(f"| {row} | not run |" + " - |" * (len(figures) + 1))
        continue
    found = [json.loads((p / "metrics.json").read_text()) for p in runs]
    cells = []
    for name in figures:
        values = [f[name] for f in found if f[name] is not None]
        spread = f" ± {st.stdev(values):.3g}" if len(values) > 1 else ""
        cells.append(f"{st.mean(values):.3g}{spread}" if values else "-")
    spreads = []
    for p in runs:
        lines = [json.loads(line) for line in (p / "log.jsonl").read_text().splitlines()]
        losses = [line["loss"] for line in lines if "loss" in line]
        spreads.append(st.pstdev(losses[len(losses) // 2 :]))
    print(f"| {row} | {len(runs)} | " + " | ".join(cells) + f" | {st.mean(spreads):.3g} |")
PY
