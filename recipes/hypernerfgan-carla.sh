#!/bin/sh
# HyperNeRFGAN on CARLA's cars: a folder or zip of unposed pictures at 128². PRESET=t4 is the report's low-memory baseline
# (200 kimg, 16 GB); PRESET=carla the public settings (25,000 kimg).
# usage: [PRESET=t4] recipes/hypernerfgan-carla.sh PICTURES [OUT]
set -eu
PICTURES=${1:?give the folder or zip of pictures}
D=${2:-runs/hypernerfgan-carla}
PRESET=${PRESET:-t4}

g3d prepare-data images "$PICTURES" --size 128 --out "$D/data"
g3d fit-stage1 hypernerfgan --data "$D/data" --preset "$PRESET" --checkpoint-every 5000 --out "$D/model"

g3d sample "$D/model" --num 16 --truncation 0.7 --out "$D/scenes" --latents "$D/latents.safetensors"
g3d render "$D/scenes" --cameras orbit:60 --out "$D/views" --video "$D/turntable.mp4" --sheet "$D/views.png"
g3d edit interpolate "$D/latents.safetensors" --items 0,5,9 --steps 8 --out "$D/path.safetensors"
g3d decode "$D/model" "$D/path.safetensors" --render "$D/interpolation" --sheet "$D/interpolation.png" --video "$D/interpolation.mp4"

g3d sample "$D/model" --num 1000 --render "$D/fakes" --cameras prior
g3d eval-fid "$D/data" "$D/fakes" --protocol fid1k --out "$D/fid.json"
