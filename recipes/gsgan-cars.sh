#!/bin/sh
# GSGAN on cars that need no download: procedural ones at 64², or the GLB files of a folder (Kenney's Car Kit, CC0).
# usage: recipes/gsgan-cars.sh procedural|FOLDER_OF_GLB [OUT]      (NUM=1000 cars of 20 views; MORE="--set kimg=40": settings over the preset;
#   EXTRACTOR=efficientnet: see fid.sh)
set -eu
CARS=${1:?say procedural, or give the folder with the GLB files}
D=${2:-runs/gsgan-cars}
MORE=${MORE:-}; NUM=${NUM:-1000}

if [ "$CARS" = procedural ]; then
    g3d prepare-data procedural cars --num "$NUM" --views 20 --test-views 2 --size 64 --out "$D/data"
else
    g3d prepare-data meshes "$CARS" --views 200 --test-views 20 --size 64 --out "$D/data"
fi
# shellcheck disable=SC2086
g3d fit-stage1 gsgan --data "$D/data" --preset cars64 $MORE --checkpoint-every 1000 --out "$D/model"

g3d sample "$D/model" --num 16 --out "$D/scenes"
g3d render "$D/scenes" --cameras orbit:12 --alpha --out "$D/views" --video "$D/turntable.mp4" --sheet "$D/views.png"
g3d eval-geometry "$D/views" --out "$D/geometry.json"
g3d eval-consistency "$D/scenes" --num 4 --out "$D/consistency.json"
g3d export-ply "$D/scenes" --as splats --out "$D/splats" # open them in a splat viewer

g3d sample "$D/model" --num 1000 --render "$D/fakes" --cameras prior # scene i is baked at the camera that it is drawn by
EXTRACTOR=${EXTRACTOR:-efficientnet} sh "$(dirname "$0")/fid.sh" "$D/data" "$D/fakes" "$D/fid.json" --split train
SIZE=128 GRID=3x8 sh "$(dirname "$0")/gsgan-figures.sh" "$D/model" "$D/figures"
