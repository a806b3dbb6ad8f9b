#!/bin/sh
# mNIF on CelebA-HQ at 64² as in the paper (table 1, figures 2 to 5 and 7): 27,000 pictures to learn from, 3,000 held out by a list; the
# best model on the way, by PSNR of held-out pictures; days on one GPU. The paper does not say which resizer its FID has: clean-fid's here.
# usage: recipes/mnif-celebahq64.sh FOLDER_OR_ZIP TEST_LIST [OUT] [s|l]      (TEST_LIST: names of the held-out pictures, one a line)
#   INNER_LR=1: the paper tries 10, 1 and 0.1; EXTRACTOR=auto: see fid.sh
set -eu
FACES=${1:?give the folder or zip of pictures}
LIST=${2:?give the list of held-out names}
D=${3:-runs/mnif-celebahq64}
MODEL=${4:-l}
RESIZE=clean; export RESIZE
HERE=$(dirname "$0")

g3d prepare-data images "$FACES" --size 64 --split "$LIST" --store zip --out "$D/data"
g3d fit-stage1 mnif --data "$D/data" --preset "celebahq64-$MODEL" --set inner_lr="${INNER_LR:-1}" --checkpoint-every 20000 --keep 2 --out "$D/run"
BEST=$D/run/best
for split in train test; do
    g3d encode "$BEST" --data "$D/data" --split $split --out "$D/$split.safetensors"
    g3d decode "$BEST" "$D/$split.safetensors" --render "$D/reconstructed_$split"
    g3d eval-recon "$D/data" "$D/reconstructed_$split" --objects $split --out "$D/recon_$split.json"
    sh "$HERE/fid.sh" "$D/data" "$D/reconstructed_$split" "$D/rfid_$split.json" --split $split # and rPrecision, rRecall
done
g3d fit-prior "$D/train.safetensors" --kind diffusion --preset paper --out "$D/prior"
g3d sample "$BEST" --prior "$D/prior" --num 27000 --render "$D/sampled"
sh "$HERE/fid.sh" "$D/data" "$D/sampled" "$D/fid.json" --split train

g3d sheet "$D/sampled" --columns 10 --rows 10 --out "$D/figure-2a-5a-samples.png"
for corners in 0,1,2,3 4,5,6,7 8,9,10,11; do # training pictures at the corners
    g3d edit grid "$D/train.safetensors" --items $corners --steps 7 --out "$D/grid-$corners.safetensors"
    g3d decode "$BEST" "$D/grid-$corners.safetensors" --render "$D/grid-$corners" --sheet "$D/figure-3-7a-interpolation-$corners.png"
done
g3d profile "$BEST" --similarity "$D/figure-4-similarity.png" --json > "$D/profile.json" # parameters, GFLOPs, fps, memory of table 1, too
