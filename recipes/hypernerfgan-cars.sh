#!/bin/sh
# HyperNeRFGAN on cars that need no download: procedural ones, or the GLB files of a folder (Kenney's Car Kit, CC0) at 64².
# usage: recipes/hypernerfgan-cars.sh procedural|FOLDER_OF_GLB [OUT]      (SIZE=64, MORE="--set kimg=40": settings over the preset;
#   EXTRACTOR=efficientnet: see fid.sh)
set -eu
CARS=${1:?say procedural, or give the folder with the GLB files}
D=${2:-runs/hypernerfgan-cars}
SIZE=${SIZE:-64}; MORE=${MORE:-}

if [ "$CARS" = procedural ]; then
    g3d prepare-data procedural cars --num 300 --views 16 --test-views 2 --size "$SIZE" --out "$D/data"
else
    g3d prepare-data meshes "$CARS" --views 200 --test-views 20 --size "$SIZE" --out "$D/data"
fi
# shellcheck disable=SC2086
g3d fit-stage1 hypernerfgan --data "$D/data" --preset cars64 $MORE --checkpoint-every 1000 --out "$D/model"

g3d sample "$D/model" --num 16 --out "$D/scenes" --latents "$D/latents.safetensors"
g3d render "$D/scenes" --cameras orbit:12 --size "$SIZE" --alpha --out "$D/views" --video "$D/turntable.mp4" --sheet "$D/views.png"
g3d eval-geometry "$D/views" --out "$D/geometry.json"
g3d export-ply "$D/scenes" --as mesh --resolution 96 --out "$D/meshes"
g3d edit interpolate "$D/latents.safetensors" --items 0,5,9 --steps 5 --out "$D/path.safetensors"
g3d decode "$D/model" "$D/path.safetensors" --render "$D/interpolation" --size "$SIZE"
g3d sheet "$D/interpolation" --columns 9 --out "$D/interpolation.png"

g3d sample "$D/model" --num 1000 --render "$D/fakes" --cameras prior
EXTRACTOR=${EXTRACTOR:-efficientnet} sh "$(dirname "$0")/fid.sh" "$D/data" "$D/fakes" "$D/fid.json" --split train
