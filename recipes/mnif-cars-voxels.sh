#!/bin/sh
# mNIF on the solids of textured vehicles (GLB files; Kenney's Car Kit, CC0) at 64³ by meta-learning, 4 held out; about 15 minutes
# on two cores.
# usage: recipes/mnif-cars-voxels.sh FOLDER_OF_GLB [OUT]
set -eu
CARS=${1:?give the folder with the GLB files}
D=${2:-runs/mnif-cars-voxels}

g3d prepare-data voxels "$CARS" --holdout 4 --out "$D/data"
g3d fit-stage1 mnif --data "$D/data" --preset cars-voxels --out "$D/model"
g3d encode "$D/model" --data "$D/data" --split train --out "$D/train.safetensors"
g3d encode "$D/model" --data "$D/data" --split test --out "$D/test.safetensors"
for split in train test; do
    g3d decode "$D/model" "$D/$split.safetensors" --out "$D/scenes_$split"
    g3d eval-shapes "$D/data" "$D/scenes_$split" --grids --split $split --out "$D/grids_$split.json"
done

g3d fit-prior "$D/train.safetensors" --kind interpolation --out "$D/prior"
g3d sample "$D/model" --prior "$D/prior" --num 21 --out "$D/sampled"
g3d eval-shapes "$D/data" "$D/sampled" --split train --out "$D/coverage.json"

g3d render "$D/scenes_train" --cameras default --size 96 --out "$D/views_train"
g3d render "$D/scenes_test" --cameras default --size 96 --out "$D/views_test"
g3d render "$D/sampled" --cameras orbit:9 --size 96 --out "$D/views" --sheet "$D/views.png"
g3d edit grid "$D/train.safetensors" --items sedan,firetruck,race,tractor-shovel --steps 5 --out "$D/grid.safetensors"
g3d decode "$D/model" "$D/grid.safetensors" --render "$D/grid" --size 96 --sheet "$D/grid.png"
g3d export-ply "$D/sampled" --as mesh --resolution 64 --out "$D/meshes"
g3d sheet "$D/views_train" "$D/views_test" --columns 10 --out "$D/sheet.png"
g3d profile "$D/model" --size 128
