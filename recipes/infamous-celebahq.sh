#!/bin/sh
# INFAMOUS-NeRF on CelebA-HQ, on which it is never trained (table 2): 26 pictures fitted by the model of recipes/infamous-ffhq.sh.
# usage: recipes/infamous-celebahq.sh FFHQ_MODEL PICTURES LABELS LANDMARKS [OUT]      (LABELS: as for FFHQ)
set -eu
MODEL=${1:?give a run of recipes/infamous-ffhq.sh}
PICTURES=${2:?give the folder of pictures}
LABELS=${3:?give the folder of labels}
MARKS=${4:?give the folder of landmarks, or dlib}
D=${5:-runs/infamous-celebahq}

[ -d "$D/data" ] || g3d prepare-data portraits "$PICTURES" --labels "$LABELS" --landmarks "$MARKS" --size "${SIZE:-512}" \
    --expressions "${EXPRESSIONS:-20}" --out "$D/data"
g3d encode "$MODEL" --data "$D/data" --split all --num 26 --set steps="${STEPS:-2000}" --out "$D/fit.safetensors"
g3d decode "$MODEL" "$D/fit.safetensors" --render "$D/fit" --cameras "dataset:$D/data"
g3d eval-recon "$D/data" "$D/fit" --drawn-from "$D/fit.safetensors" --by subject --out "$D/fit.json"
