#!/bin/sh
# INFAMOUS-NeRF on 16 faces of the ICT face model (MIT licence) at 64²: 12 subjects trained, 4 held out, 8 expressions, three (subject,
# expression) pairs never trained, 12 cameras and 4 held-out ones. One to two hours of one core. What is there already is kept, a run
# that was cut off goes on.
# usage: recipes/infamous-faces.sh FOLDER_OF_THE_FACE_MODEL [OUT]      STEPS=12000  (of stage 1)
#   REFINER_STEPS=7000 (0: no stage 2; it takes as long as everything else)
#   PAIRS=trained|refit: stage 2's coarse pictures by the codes that stage 1 left, or by codes found anew for each training item, as
#   the paper has them (another half an hour)
set -eu
FACES=${1:?give the folder with ict_facekit_deltas_int16.npz}
D=${2:-runs/infamous-faces}
STEPS=${STEPS:-}; REFINER_STEPS=${REFINER_STEPS:-7000}; PAIRS=${PAIRS:-trained}
A=mouth_stretch; B=grin; C=eye_closed # never trained with subjects 2, 5 and 8

[ -d "$D/data" ] || g3d prepare-data faces "$FACES" --num 16 --holdout-subjects 4 --expressions 0,1,2,11,15-18 --frame head --size 64 \
    --views 12 --test-views 4 --holdout-pairs "2:$A,5:$B,8:$C" --out "$D/data"
resume=""; [ -f "$D/model/config.json" ] && resume=--resume
# shellcheck disable=SC2086
g3d fit-stage1 infamous-nerf --data "$D/data" --preset faces64 ${STEPS:+--set steps=$STEPS} --out "$D/model" $resume

# Trained items from held-out cameras; how much of the expressions' true change is missed.
g3d decode "$D/model" "$D/model" --render "$D/novel" --cameras "dataset:$D/data:test" --overwrite
g3d eval-recon "$D/data" "$D/novel" --drawn-from "$D/model" --objects train --split test --by subject --out "$D/novel.json" --overwrite
g3d eval-recon "$D/data" "$D/novel" --drawn-from "$D/model" --objects train --split test --masks --by subject --out "$D/novel_masks.json" --overwrite
g3d eval-recon "$D/data" "$D/novel" --drawn-from "$D/model" --objects train --split test --region face --by subject --out "$D/novel_face.json" --overwrite
g3d eval-transfer "$D/data" "$D/novel" --drawn-from "$D/model" --objects train --split test --out "$D/transfer_seen.json" --overwrite

# Pairs never trained: the subject's codes with the expression of another subject, and the neutral faces beside them.
E=subject-000
g3d edit swap "$D/model" --fields expression --from "$E/$A,$E/$B,$E/$C,$E/neutral,$E/neutral,$E/neutral" \
    --to subject-002/neutral,subject-005/neutral,subject-008/neutral,subject-002/neutral,subject-005/neutral,subject-008/neutral \
    --names "subject-002/$A,subject-005/$B,subject-008/$C,subject-002/neutral,subject-005/neutral,subject-008/neutral" \
    --out "$D/pairs.safetensors" --overwrite
g3d decode "$D/model" "$D/pairs.safetensors" --render "$D/pairs" --cameras "dataset:$D/data" --overwrite
g3d eval-recon "$D/data" "$D/pairs" --drawn-from "$D/pairs.safetensors" --objects pairs --out "$D/pairs.json" --overwrite
g3d eval-transfer "$D/data" "$D/pairs" --drawn-from "$D/pairs.safetensors" --objects pairs,train --out "$D/transfer_unseen.json" --overwrite

# Held-out subjects, from one picture each: the start (mean codes) and the end.
judge() { # judge STEPS NAME OPTION...: views from held-out cameras
    of="$D/encoded_$1" to="$D/encoded_$1_$2.json"; shift 2
    g3d eval-recon "$D/data" "$of" --drawn-from "$of.safetensors" --objects test --split test --by subject "$@" --out "$to" --overwrite
}
ITEMS=""
for s in 012 013 014 015; do for e in neutral mouth_stretch grin; do ITEMS="$ITEMS${ITEMS:+,}subject-$s/$e"; done; done
for steps in 0 400; do
    g3d encode "$D/model" --data "$D/data" --split test --items "$ITEMS" --set steps=$steps --out "$D/encoded_$steps.safetensors" \
        --overwrite --json | tee "$D/encoded_$steps.json"
    g3d decode "$D/model" "$D/encoded_$steps.safetensors" --render "$D/encoded_$steps" --cameras "dataset:$D/data:test" --overwrite
    judge $steps novel
    judge $steps masks --masks
    judge $steps face --region face
done

# Edits: six subjects, then those with the appearance, the shape and the expression of others.
TO=subject-000/neutral,subject-001/neutral,subject-003/neutral,subject-005/neutral,subject-007/neutral,subject-009/neutral
g3d decode "$D/model" "$D/model" --items $TO --render "$D/plain" --size 128 --sheet "$D/plain.png" --overwrite
swap() { # swap NAME FIELDS FROM
    g3d edit swap "$D/model" --fields "$2" --from "$3" --to $TO --out "$D/$1.safetensors" --overwrite
    g3d decode "$D/model" "$D/$1.safetensors" --render "$D/$1" --size 128 --sheet "$D/$1.png" --overwrite
}
swap appearance identity_appearance,appearance subject-010/neutral
swap shape identity_shape,shape subject-010/neutral
for e in smile mouth_stretch lip_puckerer grin cheek_blowing eye_closed brow_raiser; do swap "expression_$e" expression "$E/$e"; done

g3d sheet "$D/plain" "$D/appearance" "$D/shape" "$D/expression_smile" "$D/expression_mouth_stretch" "$D/expression_grin" \
    "$D/expression_eye_closed" --columns 6 --rows 1 --out "$D/edits.png" --overwrite
g3d profile "$D/model" --size 64

# Stage 2: a diffusion model of the true pictures given those of stage 1; refined are views of held-out cameras.
[ "$REFINER_STEPS" != 0 ] || exit 0
CODES="$D/model"
if [ "$PAIRS" = refit ]; then
    CODES="$D/refit.safetensors"
    [ -f "$CODES" ] || g3d encode "$D/model" --data "$D/data" --split train --set steps=150 --out "$CODES"
fi
g3d decode "$D/model" "$CODES" --render "$D/coarse" --cameras "dataset:$D/data:train" --overwrite
resume=""; [ -f "$D/refiner/config.json" ] && resume=--resume
# shellcheck disable=SC2086
g3d fit-refiner "$D/coarse" "$D/data" --drawn-from "$CODES" --split train --preset laptop --set "steps=$REFINER_STEPS" --out "$D/refiner" $resume
g3d refine "$D/novel" --refiner "$D/refiner" --out "$D/refined" --overwrite
for kind in novel refined; do
    g3d eval-recon "$D/data" "$D/$kind" --drawn-from "$D/model" --objects train --split test --out "$D/${kind}_whole.json" --overwrite
    g3d eval-recon "$D/data" "$D/$kind" --drawn-from "$D/model" --objects train --split test --masks --erode 4 --out "$D/${kind}_inner.json" --overwrite
    g3d eval-fid "$D/data" "$D/$kind" --objects train --split test --out "$D/${kind}_kernel.json" --overwrite
done
g3d sheet "$D/novel" "$D/refined" --columns 12 --rows 2 --out "$D/refined.png" --overwrite
