#!/bin/sh
# mNIF on CIFAR-10 as in the paper's appendix C: on varied pictures, samples between neighbours (59.7 there) are nearer to the data than
# those of the diffusion prior (84.6). The appendix gives no sizes: those of celebahq64-l. Days on one GPU.
# usage: recipes/mnif-cifar10.sh FOLDER_OR_ZIP TEST_LIST [OUT]      (pictures of 32²; TEST_LIST: the 10,000 held-out names, one a line)
#   EXTRACTOR=auto: see fid.sh; MORE="--set epochs=10": settings over the preset
set -eu
PICTURES=${1:?give the folder or zip of pictures}
LIST=${2:?give the list of held-out names}
D=${3:-runs/mnif-cifar10}
RESIZE=clean; export RESIZE
HERE=$(dirname "$0")

g3d prepare-data images "$PICTURES" --size 32 --split "$LIST" --store zip --out "$D/data"
# shellcheck disable=SC2086
g3d fit-stage1 mnif --data "$D/data" --preset cifar10 ${MORE:-} --checkpoint-every 20000 --keep 2 --out "$D/run"
BEST=$D/run/best
g3d encode "$BEST" --data "$D/data" --split train --out "$D/train.safetensors"
g3d decode "$BEST" "$D/train.safetensors" --render "$D/reconstructed"
g3d eval-recon "$D/data" "$D/reconstructed" --objects train --out "$D/recon.json"
sh "$HERE/fid.sh" "$D/data" "$D/reconstructed" "$D/rfid.json" --split train
for kind in interpolation diffusion; do # eq. 11, and the prior of the other sets
    case $kind in
    diffusion) set -- --preset paper ;;
    *) set -- ;;
    esac
    g3d fit-prior "$D/train.safetensors" --kind $kind "$@" --out "$D/$kind"
    g3d sample "$BEST" --prior "$D/$kind" --num 50000 --render "$D/sampled-$kind"
    sh "$HERE/fid.sh" "$D/data" "$D/sampled-$kind" "$D/fid-$kind.json" --split train
    g3d sheet "$D/sampled-$kind" --columns 10 --rows 10 --out "$D/samples-$kind.png"
done
