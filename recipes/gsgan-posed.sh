#!/bin/sh
# GSGAN on posed pictures as EG3D's authors publish them (a folder or zip with its dataset.json), at the paper's settings; what
# gsgan-ffhq256.sh, gsgan-ffhq512.sh, gsgan-afhq256.sh and gsgan-afhq512.sh call. EG3D's scripts have already put a mirrored picture with its
# mirrored camera beside each; MIRROR=1 does it for pictures that were not made by them. The paper trains on 10 to 15 million pictures and
# judges the last model. On several GPUs put `torchrun --nproc-per-node N -m -- g3d_cli.main` in the place of `g3d` before fit-stage1.
# usage: recipes/gsgan-posed.sh PRESET SIDE PICTURES [OUT]      (WEIGHTS=network.pkl: the authors' weights instead of training;
#   MIRROR=1; EXTRACTOR=auto: see fid.sh; PHOTOS=DATASET: photographs for figure 13)
set -eu
PRESET=${1:?give a preset, e.g. ffhq256}; SIDE=${2:?give the side of its pictures, pixels}
PICTURES=${3:?give the folder or zip of pictures with dataset.json}
D=${4:-runs/gsgan-$PRESET}
HERE=$(dirname "$0")
MIRRORED=""
if [ "${MIRROR:-0}" = 1 ]; then MIRRORED=--mirror; fi

fid() { # fid MODEL NAME HOW...: each scene is baked at the camera of the data that it is drawn by
    model=$1; name=$2; num=$3; shift 3
    g3d sample "$model" --num "$num" --cameras "dataset:$D/data" --render "$D/fakes-$name"
    sh "$HERE/fid.sh" "$D/data" "$D/fakes-$name" "$D/fid-$name.json" "$@"
}

# shellcheck disable=SC2086
g3d prepare-data eg3d "$PICTURES" --size "$SIDE" $MIRRORED --out "$D/data"
if [ -n "${WEIGHTS:-}" ]; then
    g3d import-checkpoint gsgan "$WEIGHTS" --preset "$PRESET" --out "$D/model"
else
    g3d fit-stage1 gsgan --data "$D/data" --preset "$PRESET" --set kimg=0 --out "$D/start"
    fid "$D/start" start 2000 # the public scripts follow the training by as few
    g3d fit-stage1 gsgan --data "$D/data" --preset "$PRESET" --checkpoint-every 2000 --out "$D/model"
fi
fid "$D/model" end 50000 --protocol fid50k # table 1: FID-50k-full

g3d sample "$D/model" --num 20 --truncation 0.7 --out "$D/scenes" # table 2: the foreground alone, its figures are the fitted_ ones
VIEWS=grid:5x8:-23,23:-23,6
# Table 2 has masks of the faces: let a network of yours make them of these views, and repeat eval-consistency with --mask FOLDER.
g3d render "$D/scenes" --cameras $VIEWS --set backdrop=off --out "$D/consistency-views"
g3d eval-consistency "$D/scenes" --cameras $VIEWS --mask object --out "$D/consistency.json"
SIZE=$SIDE GRID=4x9:-23,23:-23,6 sh "$HERE/gsgan-figures.sh" "$D/model" "$D/figures"
