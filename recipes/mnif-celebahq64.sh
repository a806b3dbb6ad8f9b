#!/bin/sh
# mNIF on CelebA-HQ at 64² as in the paper (table 1): 27,000 pictures to learn from, 3,000 held out by a list; days on one GPU.
# usage: recipes/mnif-celebahq64.sh FOLDER_OR_ZIP TEST_LIST [OUT] [s|l]      (TEST_LIST: names of the held-out pictures, one a line)
set -eu
FACES=${1:?give the folder or zip of pictures}
LIST=${2:?give the list of held-out names}
D=${3:-runs/mnif-celebahq64}
MODEL=${4:-l}

g3d prepare-data images "$FACES" --size 64 --split "$LIST" --store zip --out "$D/data"
g3d fit-stage1 mnif --data "$D/data" --preset "celebahq64-$MODEL" --checkpoint-every 20000 --keep 2 --out "$D/model"
for split in train test; do
    g3d encode "$D/model" --data "$D/data" --split $split --out "$D/$split.safetensors"
    g3d decode "$D/model" "$D/$split.safetensors" --render "$D/reconstructed_$split"
    g3d eval-recon "$D/data" "$D/reconstructed_$split" --objects $split --out "$D/recon_$split.json"
    g3d eval-fid "$D/data" "$D/reconstructed_$split" --split $split --out "$D/rfid_$split.json"
done
g3d fit-prior "$D/train.safetensors" --kind diffusion --out "$D/prior"
g3d sample "$D/model" --prior "$D/prior" --num 27000 --render "$D/sampled"
g3d eval-fid "$D/data" "$D/sampled" --split train --out "$D/fid.json"
g3d edit grid "$D/train.safetensors" --items 0,1,2,3 --steps 7 --out "$D/grid.safetensors"
g3d decode "$D/model" "$D/grid.safetensors" --render "$D/grid" --sheet "$D/grid.png"
g3d profile "$D/model"
