#!/bin/sh
# GSGAN on FFHQ at 512 pixels, with the poses that EG3D's authors publish (a folder or zip with its dataset.json); mirrored pictures come
# with mirrored cameras. The paper trains on 10 to 15 million pictures. On several GPUs: torchrun --nproc-per-node N -m -- g3d_cli.main fit-stage1 ...
# usage: recipes/gsgan-ffhq512.sh PICTURES [OUT]      (WEIGHTS=network.pkl: the authors' weights instead of training)
set -eu
PICTURES=${1:?give the folder or zip of pictures with dataset.json}
D=${2:-runs/gsgan-ffhq512}

g3d prepare-data eg3d "$PICTURES" --size 512 --mirror --out "$D/data"
if [ -n "${WEIGHTS:-}" ]; then
    g3d import-checkpoint gsgan "$WEIGHTS" --preset ffhq512 --size 512 --out "$D/model"
else
    g3d fit-stage1 gsgan --data "$D/data" --preset ffhq512 --checkpoint-every 2000 --out "$D/model"
fi

g3d sample "$D/model" --num 50000 --cameras "dataset:$D/data" --render "$D/fakes" # each scene is baked at its own camera
g3d eval-fid "$D/data" "$D/fakes" --protocol fid50k --out "$D/fid.json"
g3d sample "$D/model" --num 20 --truncation 0.7 --out "$D/scenes"
g3d eval-consistency "$D/scenes" --cameras grid:5x8 --mask object --out "$D/consistency.json"
SIZE=512 GRID=4x9 sh "$(dirname "$0")/gsgan-figures.sh" "$D/model" "$D/figures"
