#!/bin/sh
# VQ3D on CompCars at 256², for who has the pictures, a depth estimator (TorchScript, e.g. DPT) and GPUs; the paper's FID is 7.3.
# usage: recipes/vq3d-compcars.sh FOLDER_OF_PICTURES ESTIMATOR.pt [OUT]      (torchrun: see README)
set -eu
PICTURES=${1:?give the folder with the pictures}
ESTIMATOR=${2:?give the estimator of inverse depth as a TorchScript file}
D=${3:-runs/vq3d-compcars}
G3D=${G3D:-g3d} # G3D="torchrun --nproc-per-node 8 -m -- g3d_cli.main"

g3d prepare-data images "$PICTURES" --size 256 --out "$D/rgb"
g3d prepare-data depth "$D/rgb" --estimator "$ESTIMATOR" --trust --out "$D/data"
$G3D fit-stage1 vq3d --data "$D/data" --preset compcars256 --set precision=bf16 --set checkpoint=true --set micro_batch=8 \
    --checkpoint-every 20000 --out "$D/model"
$G3D encode "$D/model" --data "$D/data" --split all --out "$D/tokens.safetensors"
$G3D fit-prior "$D/tokens.safetensors" --kind autoregressive --preset vim-base --set precision=bf16 --out "$D/prior"
$G3D sample "$D/model" --prior "$D/prior" --num 50000 --render "$D/sampled"
g3d eval-fid "$D/data" "$D/sampled" --split train --protocol fid50k --out "$D/fid.json"
