#!/bin/sh
# VQ3D on one object before a photograph in each picture, as its MVS-1 has them: meshes of a folder (Kenney's Car Kit, CC0) before
# photographs of another. Both stages of `laptop32` take about an hour of one core, `laptop64` two.
# usage: recipes/vq3d-mvs1.sh FOLDER_OF_GLB FOLDER_OF_PHOTOS [OUT]
#   PRESET=laptop64 SIZE=64      MORE="--set steps=1000" (stage 1)      MORE2="--set steps=500" (stage 2)      SAMPLES=300
#   PYTHON=python3: the Python that g3d is installed in
set -eu
MESHES=${1:?give the folder with the GLB files}
PHOTOS=${2:?give a folder of photographs}
D=${3:-runs/vq3d-mvs1}
PRESET=${PRESET:-laptop32}; SIZE=${SIZE:-32}; MORE=${MORE:-}; MORE2=${MORE2:-}; SAMPLES=${SAMPLES:-300}
HERE=$(dirname "$0")

g3d prepare-data meshes "$MESHES" --backgrounds "$PHOTOS" --size "$SIZE" --views 108 --test-views 12 --seed 0 --out "$D/rgb"
g3d prepare-data depth "$D/rgb" --out "$D/data" # exact inverse depth, of known surfaces
# shellcheck disable=SC2086
g3d fit-stage1 vq3d --data "$D/data" --preset "$PRESET" $MORE --out "$D/model"

g3d encode "$D/model" --data "$D/data" --split all --out "$D/tokens.safetensors" # test views are held out of stage 2, too
g3d encode "$D/model" --data "$D/data" --split train --set mirror=true --out "$D/mirrored.safetensors"
# shellcheck disable=SC2086
g3d fit-prior "$D/tokens.safetensors" "$D/mirrored.safetensors" --kind autoregressive --preset laptop --set dropout=0.2 \
    --set steps=2000 $MORE2 --out "$D/prior"

g3d encode "$D/model" --data "$D/data" --split test --out "$D/held_out.safetensors"
g3d decode "$D/model" "$D/held_out.safetensors" --out "$D/scenes" --render "$D/reconstructed" --disparity
g3d eval-recon "$D/data" "$D/reconstructed" --split test --any-camera --out "$D/recon.json"
g3d eval-geometry "$D/reconstructed" "$D/data" --split test --region picture --any-camera --out "$D/geometry.json"
for radius in 0 0.1 0.2 0.3; do # figure 7: how pictures from elsewhere fare
    g3d render "$D/scenes" --cameras "disc:$radius" --out "$D/disc_$radius"
    g3d eval-fid "$D/data" "$D/disc_$radius" --split test --out "$D/fid_disc_$radius.json"
done
g3d sample "$D/model" --prior "$D/prior" --num "$SAMPLES" --render "$D/sampled" --disparity
g3d sample "$D/model" --prior "$D/prior" --num "$SAMPLES" --top-k 100 --render "$D/sampled_top_k"
"${PYTHON:-python3}" "$HERE/counted_tokens.py" "$D/tokens.safetensors" "$D/counted.safetensors" --num "$SAMPLES" # the floor
g3d decode "$D/model" "$D/counted.safetensors" --render "$D/counted"

g3d eval-fid "$D/data" "$D/reconstructed" --split test --out "$D/fid_s1.json"
g3d eval-fid "$D/data" "$D/sampled" --split train --out "$D/fid_s2.json"
for what in sampled sampled_top_k counted; do # what stage 2 can be held against: it never saw more than reconstructions
    g3d eval-fid "$D/reconstructed" "$D/$what" --out "$D/${what}_to_reconstructed.json"
done
# figures 4 to 6: pictures, reconstructions with their disparity, seen from elsewhere; samples with theirs
g3d sheet "$D/data:test" "$D/reconstructed" "$D/reconstructed:disparity" "$D/disc_0.2" "$D/sampled" "$D/sampled:disparity" \
    "$D/sampled_top_k" --columns 12 --out "$D/sheet.png"
