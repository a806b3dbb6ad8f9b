#!/bin/sh
# VQ3D on a folder of pictures at 256² (with a folder for each class, where there are classes), for who has a depth estimator
# (TorchScript, e.g. DPT) and GPUs: what vq3d-compcars.sh and vq3d-imagenet.sh run.
# usage: recipes/vq3d-pictures.sh PRESET FOLDER ESTIMATOR.pt OUT      (G3D="torchrun --nproc-per-node 8 -m -- g3d_cli.main")
set -eu
PRESET=${1:?give a preset of vq3d}
PICTURES=${2:?give the folder with the pictures}
ESTIMATOR=${3:?give the estimator of inverse depth as a TorchScript file}
D=${4:?give the folder to write}
G3D=${G3D:-g3d}

g3d prepare-data images "$PICTURES" --size 256 --out "$D/rgb"
g3d prepare-data depth "$D/rgb" --estimator "$ESTIMATOR" --trust --out "$D/data"
$G3D fit-stage1 vq3d --data "$D/data" --preset "$PRESET" --set precision=bf16 --set checkpoint=true --set micro_batch=8 \
    --checkpoint-every 20000 --out "$D/model"
$G3D encode "$D/model" --data "$D/data" --split all --out "$D/tokens.safetensors"
$G3D fit-prior "$D/tokens.safetensors" --kind autoregressive --preset vim-base --set precision=bf16 --out "$D/prior"
$G3D sample "$D/model" --prior "$D/prior" --num 50000 --render "$D/sampled"
g3d eval-fid "$D/data" "$D/sampled" --split train --protocol fid50k --out "$D/fid.json"
