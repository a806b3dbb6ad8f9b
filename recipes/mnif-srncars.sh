#!/bin/sh
# mNIF on SRN cars as in the paper (table 3): 2,458 scenes of 50 views at 128²; 704 held out, each seen from 251 fixed views; days on
# one GPU.
# usage: recipes/mnif-srncars.sh FOLDER [OUT]      (FOLDER/cars_train/NAME/{rgb,pose,intrinsics.txt}, FOLDER/cars_test/...)
set -eu
CARS=${1:?give the folder with cars_train and cars_test}
D=${2:-runs/mnif-srncars}

g3d prepare-data srn "$CARS" --store zip --out "$D/data"
g3d fit-stage1 mnif --data "$D/data" --preset srncars --checkpoint-every 50000 --keep 2 --out "$D/model"
g3d decode "$D/model" "$D/model" --render "$D/reconstructed" --cameras "dataset:$D/data:train"
g3d eval-recon "$D/data" "$D/reconstructed" --objects train --split train --out "$D/recon_train.json"
g3d encode "$D/model" --data "$D/data" --split test --out "$D/test.safetensors"
g3d fit-prior "$D/model" --kind diffusion --out "$D/prior"
g3d sample "$D/model" --prior "$D/prior" --num 704 --render "$D/sampled" --cameras spiral:251
g3d eval-fid "$D/data" "$D/sampled" --objects test --out "$D/fid.json"
g3d profile "$D/model" --size 128
