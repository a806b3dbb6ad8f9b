#!/bin/sh
# INFAMOUS-NeRF fitted on to photographs (section 4, "In-the-Wild Performance"): 2,386 pictures of FFHQ with one of six expressions,
# whose codes are those of the multi-view model; then 80 others are fitted (table 2). Labels: ffhq-features-dataset's JSON; landmarks:
# a file of 68 points a picture, or dlib, which finds them.
# usage: recipes/infamous-ffhq.sh MULTIVIEW_MODEL PICTURES LABELS LANDMARKS [OUT]
#   HELD_OUT=80 SIZE=512 PRESET=ffhq512 EXPRESSIONS=20 STEPS=2000   (of encode)  MORE="--set steps=1000"  (of the fit)
set -eu
MODEL=${1:?give a run of recipes/infamous-facescape.sh}
PICTURES=${2:?give the folder of pictures}
LABELS=${3:?give the folder of ffhq-features-dataset}
MARKS=${4:?give the folder of landmarks, or dlib}
D=${5:-runs/infamous-ffhq}

[ -d "$D/data" ] || g3d prepare-data portraits "$PICTURES" --labels "$LABELS" --landmarks "$MARKS" --size "${SIZE:-512}" --skip-bad \
    --expressions "${EXPRESSIONS:-20}" --holdout "${HELD_OUT:-80}" --out "$D/data"
resume="--init $MODEL"; [ -f "$D/model/config.json" ] && resume=--resume
# shellcheck disable=SC2086
g3d fit-stage1 infamous-nerf --data "$D/data" --preset "${PRESET:-ffhq512}" ${MORE:-} --out "$D/model" $resume
g3d encode "$D/model" --data "$D/data" --split test --set steps="${STEPS:-2000}" --out "$D/fit.safetensors"
g3d decode "$D/model" "$D/fit.safetensors" --render "$D/fit" --cameras "dataset:$D/data"
g3d eval-recon "$D/data" "$D/fit" --drawn-from "$D/fit.safetensors" --objects test --by subject --out "$D/fit.json"
g3d edit swap "$D/fit.safetensors" --fields expression --from 0 --to 1-5 --out "$D/transfer.safetensors"
g3d decode "$D/model" "$D/transfer.safetensors" --render "$D/transfer" --sheet "$D/transfer.png"
