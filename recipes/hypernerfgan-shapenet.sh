#!/bin/sh
# HyperNeRFGAN on a class of ShapeNet (cars, planes, chairs): a folder or zip of unposed pictures, as the report uses them at 128².
# usage: recipes/hypernerfgan-shapenet.sh cars|planes|chairs PICTURES [OUT]     (LOW_MEMORY=1: the report's P = N_s = 32)
set -eu
CLASS=${1:?say which: cars, planes or chairs}
PICTURES=${2:?give the folder or zip of pictures}
D=${3:-runs/hypernerfgan-$CLASS}
LOW=""
if [ "${LOW_MEMORY:-0}" = 1 ]; then
    LOW="--set patch_size=32 --set n_samples=32 --set micro_batch=1 --set g_lr=2e-3 --set d_lr=2e-3 --set augment=ada --set augment_p=0 --set kimg=200"
fi

g3d prepare-data images "$PICTURES" --size 128 --out "$D/data"
# shellcheck disable=SC2086
g3d fit-stage1 hypernerfgan --data "$D/data" --preset "shapenet-$CLASS" $LOW --checkpoint-every 5000 --out "$D/model"

g3d sample "$D/model" --num 16 --truncation 0.7 --out "$D/scenes" --latents "$D/latents.safetensors"
g3d render "$D/scenes" --cameras orbit:60 --out "$D/views" --video "$D/turntable.mp4" --sheet "$D/views.png"
g3d export-ply "$D/scenes" --as mesh --resolution 192 --out "$D/meshes"
g3d edit interpolate "$D/latents.safetensors" --items 0,5,9 --steps 8 --out "$D/path.safetensors"
g3d decode "$D/model" "$D/path.safetensors" --render "$D/interpolation" --sheet "$D/interpolation.png"

g3d sample "$D/model" --num 1000 --render "$D/fakes" --cameras prior
g3d eval-fid "$D/data" "$D/fakes" --protocol fid1k --out "$D/fid.json"
