#!/bin/sh
# INFAMOUS-NeRF on FaceScape by the paper's protocol (tables 1, 3, 5 and 7): 300 training and 56 unseen subjects; of each unseen one a
# random expression, one input view and three target views of poses unseen in training; both stages. Days of a large GPU.
# The data needs a licence from its authors. Its archives of shapes, unpacked beside the photographs (1/1_neutral.ply beside
# 1/1_neutral/), give masks and depth; masks of your own lie in 1/1_neutral/masks/0.png (docs/data.md). What is not there is not judged,
# and said. What was made already is kept, and a fit that was cut off goes on.
# usage: recipes/infamous-facescape.sh FACESCAPE_FOLDER [OUT] [SEED]
#   LANDMARKS=dlib|FOLDER   of 68 points a photograph: landmark rays, the face's box, aligned identities
#   IDENTITY=dlib|FILE.pt   the face network of table 3 (a TorchScript file with AdaFace's interface)
#   REFINER=paper (a preset; 0: no stage 2)   SIZE=512 PRESET=facescape512 HELD_OUT=56 STEPS=2000 (of encode)
#   MORE="--set steps=1000" (stage 1)   MORE2="--set steps=1000" (stage 2)
set -eu
SOURCE=${1:?give the folder of FaceScape (1/1_neutral/params.json, ...)}
D=${2:-runs/infamous-facescape}
SEED=${3:-0}
SIZE=${SIZE:-512}; PRESET=${PRESET:-facescape512}; HELD_OUT=${HELD_OUT:-56}; STEPS=${STEPS:-2000}; MORE=${MORE:-}
LANDMARKS=${LANDMARKS:-}; IDENTITY=${IDENTITY:-}; REFINER=${REFINER:-paper}; MORE2=${MORE2:-}

# shellcheck disable=SC2086
[ -d "$D/data" ] || g3d prepare-data faces "$SOURCE" --size "$SIZE" --holdout-subjects "$HELD_OUT" --test-views 3 \
    ${LANDMARKS:+--landmarks "$LANDMARKS"} --out "$D/data"
MASKS=""; FACE=""
if [ -d "$D/data/masks" ]; then MASKS=1; else echo "note: no masks, so whole pictures stand for the portrait (table 1 needs masks)"; fi
if [ -d "$D/data/depth" ]; then DEPTH="--depth --depth-kind max_weight"; else DEPTH=""; echo "note: no depth, so no table 7"; fi
if [ -n "$LANDMARKS" ]; then FACE=1; else echo "note: no LANDMARKS, so no figures of the face alone"; fi
[ -n "$IDENTITY" ] || echo "note: no IDENTITY, so no table 3"

resume=""; [ -f "$D/model/config.json" ] && resume=--resume
# shellcheck disable=SC2086
g3d fit-stage1 infamous-nerf --data "$D/data" --preset "$PRESET" $MORE --seed "$SEED" --out "$D/model" $resume

one_each() { # one_each SPLIT: an expression of each of its subjects, drawn by the seed
    python3 - "$D/data/dataset.json" "$SEED" "$1" <<'PY'
import json, random, sys
rng, own = random.Random(int(sys.argv[2])), {}
for o in json.load(open(sys.argv[1]))["objects"]:
    if o["split"] == sys.argv[3]:
        own.setdefault(o["name"].split("/")[0], []).append(o["name"])
print(",".join(rng.choice(names) for names in own.values()))
PY
}
found() { # found SPLIT FILE: codes of one picture of each subject
    g3d encode "$D/model" --data "$D/data" --split "$1" --items "$(one_each "$1")" --set view=random --set steps="$STEPS" --set lr=4e-3 \
        --seed "$SEED" --out "$2" --overwrite
}
CODES="$D/unseen.safetensors"
found test "$CODES"
g3d decode "$D/model" "$CODES" --out "$D/scenes" --overwrite
# shellcheck disable=SC2086
{
    g3d render "$D/scenes" --cameras "dataset:$D/data:train" $DEPTH --out "$D/fit" --overwrite
    g3d render "$D/scenes" --cameras "dataset:$D/data:test" $DEPTH --out "$D/nvs" --overwrite
}

recon() { # recon PICTURES NAME OPTION...
    of=$1 to="$D/$2.json"; shift 2
    g3d eval-recon "$D/data" "$D/$of" --drawn-from "$CODES" --objects test --by subject "$@" --out "$to" --overwrite
}
judged() { # judged PICTURES OPTION...: the portrait (with depth where it is there, tables 1 and 7), the face, the identity (table 3)
    of=$1; shift
    if [ -n "$MASKS" ]; then recon "$of" "${of}_portrait" "$@" --masks; else recon "$of" "${of}_whole" "$@"; fi
    [ -z "$FACE" ] || recon "$of" "${of}_face" "$@" --region face
}
identity() { # identity PICTURES OPTION...
    [ -n "$IDENTITY" ] || return 0
    of=$1; trust=""; shift
    [ -f "$IDENTITY" ] && trust=--trust
    g3d eval-identity "$D/data" "$D/$of" --network "$IDENTITY" $trust --drawn-from "$CODES" --objects test "$@" \
        --out "$D/${of}_identity.json" --overwrite
}
judge() { # judge FIT NVS: pictures of the input views, then of the target views
    judged "$1" --split train --inputs
    judged "$2" --split test
    identity "$1" --split train --inputs
    identity "$2" --split test --input-view "latents:$CODES"
}
judge fit nvs

# Stage 2: coarse pictures of training subjects, by codes that are found again as those of unseen subjects are (table 5).
[ "$REFINER" != 0 ] || exit 0
[ -f "$D/refit.safetensors" ] || found train "$D/refit.safetensors"
[ -d "$D/coarse" ] || g3d decode "$D/model" "$D/refit.safetensors" --render "$D/coarse" --cameras "dataset:$D/data:train"
resume=""; [ -f "$D/refiner/config.json" ] && resume=--resume
# shellcheck disable=SC2086
g3d fit-refiner "$D/coarse" "$D/data" --drawn-from "$D/refit.safetensors" --split train --preset "$REFINER" $MORE2 --seed "$SEED" \
    --out "$D/refiner" $resume
for of in fit nvs; do g3d refine "$D/$of" --refiner "$D/refiner" --out "$D/refined_$of" --overwrite; done
judge refined_fit refined_nvs
g3d sheet "$D/nvs" "$D/refined_nvs" --columns 6 --rows 3 --out "$D/refined.png" --overwrite
