#!/bin/sh
# mNIF on ShapeNet at 64³ as in the paper (table 2, figures 2, 3, 5 and 7), from IM-Net's HDF5 files; the best model on the way, by PSNR of
# held-out grids; days on one GPU. Of 8,764 samples, as many as the paper draws, some may have no surface: they are left out and counted.
# usage: recipes/mnif-shapenet64.sh FOLDER_OF_HDF5 [OUT] [s|l]
#   INTRA=0,1,2,3  INTER=0,9000,18000,27000: training items at the corners of figure 7b (one class) and 7c (several)
set -eu
SHAPES=${1:?give the folder with the train and test files of IM-Net (.hdf5)}
D=${2:-runs/mnif-shapenet64}
MODEL=${3:-l}

g3d prepare-data voxels "$SHAPES" --out "$D/data"
g3d fit-stage1 mnif --data "$D/data" --preset "shapenet64-$MODEL" --set inner_lr="${INNER_LR:-1}" --checkpoint-every 20000 --keep 2 --out "$D/run"
BEST=$D/run/best
g3d encode "$BEST" --data "$D/data" --split train --out "$D/train.safetensors"
g3d encode "$BEST" --data "$D/data" --split test --out "$D/test.safetensors"
g3d decode "$BEST" "$D/test.safetensors" --out "$D/scenes_test"
g3d eval-shapes "$D/data" "$D/scenes_test" --grids --split test --out "$D/grids_test.json"
g3d fit-prior "$D/train.safetensors" --kind diffusion --preset paper --out "$D/prior"
g3d sample "$BEST" --prior "$D/prior" --num 8764 --out "$D/sampled"
g3d eval-shapes "$D/data" "$D/sampled" --split test --skip-empty --no-one-nn --out "$D/coverage.json"

g3d sample "$BEST" --prior "$D/prior" --num 25 --out "$D/shown"
g3d render "$D/shown" --cameras default --size 128 --out "$D/views" --sheet "$D/figure-2b-5b-samples.png"
for corners in "${INTRA:-0,1,2,3}" "${INTER:-0,9000,18000,27000}"; do
    g3d edit grid "$D/train.safetensors" --items "$corners" --steps 5 --out "$D/grid-$corners.safetensors"
    g3d decode "$BEST" "$D/grid-$corners.safetensors" --render "$D/grid-$corners" --size 128 --sheet "$D/figure-3-7-interpolation-$corners.png"
done
g3d profile "$BEST" --similarity "$D/similarity.png" --grid 64 --json > "$D/profile.json" # parameters, GFLOPs, fps, memory of a 64³ grid
