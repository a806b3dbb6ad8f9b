#!/bin/sh
# The whole pipeline on procedural cars, in minutes on two cores: data -> model -> prior -> samples -> pictures, figures, meshes.
# usage: recipes/demo.sh [FOLDER]
set -eu
D=${1:-demo}
if [ -e "$D" ] && [ ! -f "$D/data/dataset.json" ]; then
    echo "$D exists and is not a demo folder; give another one" >&2
    exit 2
fi
rm -rf "$D"

g3d prepare-data procedural cars --num 48 --views 16 --test-views 8 --size 32 --out "$D/data"
g3d fit-stage1 mnif --data "$D/data" --preset demo --out "$D/model"
g3d fit-prior "$D/model" --kind diffusion --set width=256 --set epochs=2000 --set lr=1e-3 --out "$D/prior"

g3d sample "$D/model" --prior "$D/prior" --num 16 --out "$D/scenes"
g3d render "$D/scenes" --cameras orbit:36 --size 64 --out "$D/views" --video "$D/turntable.mp4" --sheet "$D/views.png"
g3d export-ply "$D/scenes" --as mesh --resolution 64 --out "$D/meshes"

g3d edit interpolate "$D/model" --items 0,5,9 --steps 5 --out "$D/path.safetensors"
g3d decode "$D/model" "$D/path.safetensors" --render "$D/interpolation" --size 96
g3d sheet "$D/interpolation" --columns 9 --out "$D/interpolation.png"

g3d decode "$D/model" "$D/model" --render "$D/reconstructed" --cameras "dataset:$D/data:train"
g3d sample "$D/model" --prior "$D/prior" --num 256 --render "$D/sampled" --cameras "dataset:$D/data:train"
for made in sampled reconstructed; do
    g3d eval-fid "$D/data" "$D/$made" --split train --num 256 --extractor efficientnet --out "$D/kernel_$made.json"
done
g3d sheet "$D/data:train" "$D/reconstructed" "$D/sampled" --columns 12 --out "$D/sheet.png"

# one JSON object of all figures
python3 - "$D" <<'PY'
import json, pathlib, sys
demo = pathlib.Path(sys.argv[1])
figures = {name: json.loads((demo / f"{name}.json").read_text()) for name in ("kernel_sampled", "kernel_reconstructed")}
figures["reconstruction"] = json.loads((demo / "model" / "metrics.json").read_text())
(demo / "metrics.json").write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
print(json.dumps(figures["reconstruction"], sort_keys=True))
near, new = (figures[f"kernel_{name}"]["kernel_efficientnet"] for name in ("reconstructed", "sampled"))
print(f"kernel_efficientnet, 256 pictures, against training views: {near:.3f} reconstructed, {new:.3f} sampled (0: cannot be told apart)")
PY

echo "The demo is in $D:"
echo "  $D/sheet.png          true, reconstructed, sampled (rows)"
echo "  $D/turntable.mp4      the samples, once around"
echo "  $D/interpolation.png  from one car to another"
echo "  $D/meshes/*.ply       the samples as coloured meshes"
echo "  $D/metrics.json       figures"
echo "To turn them in a browser: g3d view $D/scenes"
