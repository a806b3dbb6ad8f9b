#!/bin/sh
# HyperNeRFGAN on a folder or zip of unposed pictures at 128², at a preset; what hypernerfgan-carla.sh and hypernerfgan-shapenet.sh call.
# FID-1k (TensorFlow's resizer) of the model at 0 kimg, of checkpoints on the way and at the end: the report's table 3 and its curve.
# Paths between samples are straight in z, as the report's eq. 11, and beside them in w (ours).
# usage: recipes/hypernerfgan-unposed.sh PRESET PICTURES OUT     (EVERY=5000 steps from checkpoint to checkpoint, KEEP=10 of them are judged,
#   EXTRACTOR=auto: see fid.sh, MORE="--set kimg=40": settings over the preset)
set -eu
PRESET=${1:?give a preset, e.g. t4}; PICTURES=${2:?give the folder or zip of pictures}; D=${3:?give a folder for what is made}
EVERY=${EVERY:-5000}; KEEP=${KEEP:-10}; MORE=${MORE:-}
HERE=$(dirname "$0")

fid1k() { # fid1k MODEL NAME
    g3d sample "$1" --num 1000 --render "$D/fakes/$2" --cameras prior
    sh "$HERE/fid.sh" "$D/data" "$D/fakes/$2" "$D/fid-$2.json" --protocol fid1k
}

g3d prepare-data images "$PICTURES" --size 128 --out "$D/data"
# shellcheck disable=SC2086
g3d fit-stage1 hypernerfgan --data "$D/data" --preset "$PRESET" $MORE --set kimg=0 --out "$D/start"
fid1k "$D/start" start # the same weights as the model's first, 0 kimg
# shellcheck disable=SC2086
g3d fit-stage1 hypernerfgan --data "$D/data" --preset "$PRESET" $MORE --checkpoint-every "$EVERY" --keep "$KEEP" --out "$D/model"
for checkpoint in "$D/model/checkpoints"/*; do
    [ -d "$checkpoint" ] && fid1k "$checkpoint" "${checkpoint##*/}"
done
fid1k "$D/model" end # the report's are of the last model, not of the best

g3d sample "$D/model" --num 16 --truncation 0.7 --out "$D/scenes" --latents "$D/w.safetensors"
g3d render "$D/scenes" --cameras orbit:60 --out "$D/views" --video "$D/turntable.mp4" --sheet "$D/views.png"
g3d export-ply "$D/scenes" --as mesh --resolution 192 --out "$D/meshes"
g3d sample "$D/model" --num 16 --set space=z --latents "$D/z.safetensors" # eq. 11
for space in z w; do
    g3d edit interpolate "$D/$space.safetensors" --items 0,5,9 --steps 8 --out "$D/path-$space.safetensors"
    g3d decode "$D/model" "$D/path-$space.safetensors" --render "$D/path-$space" --sheet "$D/path-$space.png" --video "$D/path-$space.mp4"
done
