#!/bin/sh
# mNIF on ShapeNet at 64³ as in the paper (table 2), from IM-Net's HDF5 files; days on one GPU.
# usage: recipes/mnif-shapenet64.sh FOLDER_OF_HDF5 [OUT] [s|l]
set -eu
SHAPES=${1:?give the folder with the train and test files of IM-Net (.hdf5)}
D=${2:-runs/mnif-shapenet64}
MODEL=${3:-l}

g3d prepare-data voxels "$SHAPES" --out "$D/data"
g3d fit-stage1 mnif --data "$D/data" --preset "shapenet64-$MODEL" --checkpoint-every 20000 --keep 2 --out "$D/model"
g3d encode "$D/model" --data "$D/data" --split train --out "$D/train.safetensors"
g3d encode "$D/model" --data "$D/data" --split test --out "$D/test.safetensors"
g3d decode "$D/model" "$D/test.safetensors" --out "$D/scenes_test"
g3d eval-shapes "$D/data" "$D/scenes_test" --grids --split test --out "$D/grids_test.json"
g3d fit-prior "$D/train.safetensors" --kind diffusion --out "$D/prior"
g3d sample "$D/model" --prior "$D/prior" --num 8764 --out "$D/sampled"
g3d eval-shapes "$D/data" "$D/sampled" --split test --out "$D/coverage.json"
g3d render "$D/sampled" --cameras orbit:9 --size 128 --out "$D/views" --sheet "$D/views.png"
g3d profile "$D/model" --size 128
