#!/bin/sh
# INFAMOUS-NeRF on FaceScape by the paper's protocol (tables 1 and 7): 300 training and 56 unseen subjects; of each unseen one a random
# expression, one input view and three target views of poses unseen in training; figures in the portrait mask and in the face's box.
# The data needs a licence from its authors. Days of a large GPU.
# usage: recipes/infamous-facescape.sh FACESCAPE_FOLDER [OUT] [SEED]
set -eu
SOURCE=${1:?give the folder of FaceScape (1/1_neutral/params.json, ...)}
D=${2:-runs/infamous-facescape}
SEED=${3:-0}

[ -d "$D/data" ] || g3d prepare-data faces "$SOURCE" --size 512 --holdout-subjects 56 --test-views 3 --out "$D/data"
resume=""; [ -f "$D/model/config.json" ] && resume=--resume
# shellcheck disable=SC2086
g3d fit-stage1 infamous-nerf --data "$D/data" --preset facescape512 --seed "$SEED" --out "$D/model" $resume

# One expression of each unseen subject, drawn by the seed.
ITEMS=$(python3 - "$D/data/dataset.json" "$SEED" <<'PY'
import json, random, sys
rng, own = random.Random(int(sys.argv[2])), {}
for o in json.load(open(sys.argv[1]))["objects"]:
    if o["split"] == "test":
        own.setdefault(o["name"].split("/")[0], []).append(o["name"])
print(",".join(rng.choice(names) for names in own.values()))
PY
)
g3d encode "$D/model" --data "$D/data" --split test --items "$ITEMS" --set view=random --set steps=2000 --set lr=4e-3 --seed "$SEED" \
    --out "$D/unseen.safetensors"
g3d decode "$D/model" "$D/unseen.safetensors" --render "$D/nvs" --cameras "dataset:$D/data:test"
g3d eval-recon "$D/data" "$D/nvs" --drawn-from "$D/unseen.safetensors" --objects test --split test --masks --by subject --out "$D/nvs_portrait.json"
g3d eval-recon "$D/data" "$D/nvs" --drawn-from "$D/unseen.safetensors" --objects test --split test --region face --by subject --out "$D/nvs_face.json"
