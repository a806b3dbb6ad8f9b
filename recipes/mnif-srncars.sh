#!/bin/sh
# mNIF on SRN cars as in the paper (table 3, figures 2, 3, 6 and 8): 2,458 scenes of 50 views at 128²; 704 held out, each seen from the same
# 251 views; the best model on the way, by PSNR; days on one GPU.
# usage: recipes/mnif-srncars.sh FOLDER [OUT]      (FOLDER/cars_train/NAME/{rgb,pose,intrinsics.txt}, FOLDER/cars_test/...)
#   CORNERS=0,1,2,3: training scenes at the corners of figures 3 and 8; EXTRACTOR=auto: see fid.sh
set -eu
CARS=${1:?give the folder with cars_train and cars_test}
D=${2:-runs/mnif-srncars}
RESIZE=clean; export RESIZE
HERE=$(dirname "$0")

g3d prepare-data srn "$CARS" --store zip --out "$D/data"
g3d fit-stage1 mnif --data "$D/data" --preset srncars --checkpoint-every 50000 --keep 2 --out "$D/run"
BEST=$D/run/best
g3d decode "$BEST" "$BEST" --render "$D/reconstructed" --cameras "dataset:$D/data:train"
g3d eval-recon "$D/data" "$D/reconstructed" --objects train --split train --out "$D/recon_train.json"
g3d encode "$BEST" --data "$D/data" --split test --out "$D/test.safetensors"
g3d decode "$BEST" "$D/test.safetensors" --items 0 --render "$D/test_views" --cameras "dataset:$D/data:test" # writes the 251 cameras
g3d fit-prior "$BEST" --kind diffusion --preset paper --out "$D/prior"
g3d sample "$BEST" --prior "$D/prior" --num 704 --render "$D/sampled" --cameras "file:$D/test_views/transforms.json"
sh "$HERE/fid.sh" "$D/data" "$D/sampled" "$D/fid.json" --objects test

g3d sample "$BEST" --prior "$D/prior" --num 25 --render "$D/shown" --cameras spiral:9 --sheet "$D/figure-2c-6-samples.png"
g3d edit grid "$BEST" --items "${CORNERS:-0,1,2,3}" --steps 5 --out "$D/grid.safetensors"
g3d decode "$BEST" "$D/grid.safetensors" --render "$D/grid" --cameras spiral:9 --sheet "$D/figure-3-8-interpolation.png"
g3d profile "$BEST" --size 128 --similarity "$D/similarity.png" --json > "$D/profile.json"
