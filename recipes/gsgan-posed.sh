#!/bin/sh
# GSGAN on posed pictures as EG3D's authors publish them (a folder or zip with its dataset.json), at the paper's settings; what
# gsgan-ffhq256.sh, gsgan-ffhq512.sh and gsgan-afhq512.sh call. Mirrored pictures come with mirrored cameras. The paper trains on 10 to
# 15 million pictures. On several GPUs put `torchrun --nproc-per-node N -m -- g3d_cli.main` in the place of `g3d` before fit-stage1.
# usage: recipes/gsgan-posed.sh PRESET SIDE PICTURES [OUT]      (WEIGHTS=network.pkl: the authors' weights instead of training)
set -eu
PRESET=${1:?give a preset, e.g. ffhq256}; SIDE=${2:?give the side of its pictures, pixels}
PICTURES=${3:?give the folder or zip of pictures with dataset.json}
D=${4:-runs/gsgan-$PRESET}

g3d prepare-data eg3d "$PICTURES" --size "$SIDE" --mirror --out "$D/data"
if [ -n "${WEIGHTS:-}" ]; then
    g3d import-checkpoint gsgan "$WEIGHTS" --preset "$PRESET" --out "$D/model"
else
    g3d fit-stage1 gsgan --data "$D/data" --preset "$PRESET" --checkpoint-every 2000 --out "$D/model"
fi

g3d sample "$D/model" --num 50000 --cameras "dataset:$D/data" --render "$D/fakes" # each is baked at the camera that it is drawn by
g3d eval-fid "$D/data" "$D/fakes" --protocol fid50k --out "$D/fid.json"
g3d sample "$D/model" --num 20 --truncation 0.7 --out "$D/scenes"
g3d eval-consistency "$D/scenes" --cameras grid:5x8:-23,23:-23,6 --mask object --out "$D/consistency.json"
SIZE=$SIDE GRID=4x9:-23,23:-23,6 sh "$(dirname "$0")/gsgan-figures.sh" "$D/model" "$D/figures"
