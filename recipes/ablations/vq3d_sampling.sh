#!/bin/sh
# What top-k and top-p do to samples of VQ3D: a grid of both, each against the training pictures and the held-out reconstructions.
# usage: recipes/ablations/vq3d_sampling.sh RUN [OUT]      (RUN: what recipes/vq3d-mvs1.sh wrote)
#   TOP_K="0 32 128"  TOP_P="1 0.95 0.9 0.8"  SAMPLES=300      (0 and 1: all tokens)
set -eu
RUN=${1:?give the folder that recipes/vq3d-mvs1.sh wrote}
D=${2:-$RUN/sampling}
TOP_K=${TOP_K:-0 32 128}; TOP_P=${TOP_P:-1 0.95 0.9 0.8}; SAMPLES=${SAMPLES:-300}

mkdir -p "$D"
echo "| top-k | top-p | to training pictures | to reconstructions |" > "$D/table.md"
echo "|---|---|---|---|" >> "$D/table.md"
for k in $TOP_K; do
    for p in $TOP_P; do
        one="$D/k$k-p$p"
        g3d sample "$RUN/model" --prior "$RUN/prior" --num "$SAMPLES" --top-k "$k" --top-p "$p" --render "$one" --overwrite
        g3d eval-fid "$RUN/data" "$one" --split train --out "$one.train.json" --overwrite
        g3d eval-fid "$RUN/reconstructed" "$one" --out "$one.reconstructed.json" --overwrite
        python3 - "$k" "$p" "$one" >> "$D/table.md" <<'END'
import json, sys

k, p, one = sys.argv[1:]
found = [json.load(open(f"{one}.{what}.json")) for what in ("train", "reconstructed")]
print(f"| {k} | {p} | " + " | ".join(f"{f['metric']} {f['value']:.4f}" for f in found) + " |")
END
    done
done
cat "$D/table.md"
