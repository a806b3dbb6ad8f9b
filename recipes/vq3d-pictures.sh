#!/bin/sh
# VQ3D on a folder of pictures at 256² (with a folder for each class, where there are classes), for who has a depth estimator
# (TorchScript, e.g. DPT) and GPUs: what vq3d-compcars.sh and vq3d-imagenet.sh run.
# usage: recipes/vq3d-pictures.sh PRESET FOLDER ESTIMATOR.pt OUT      (G3D="torchrun --nproc-per-node 8 -m -- g3d_cli.main")
#   HELD_OUT=FOLDER: pictures that were not trained on, for the FID of their reconstructions (ImageNet: val)
#   HOW="--top-k 1024 --top-p 0.95": of the samples; none by default (ablations/vq3d_sampling.sh: a grid)
set -eu
PRESET=${1:?give a preset of vq3d}
PICTURES=${2:?give the folder with the pictures}
ESTIMATOR=${3:?give the estimator of inverse depth as a TorchScript file}
D=${4:?give the folder to write}
G3D=${G3D:-g3d}; HELD_OUT=${HELD_OUT:-}; HOW=${HOW:-}

g3d prepare-data images "$PICTURES" --size 256 --out "$D/rgb"
g3d prepare-data depth "$D/rgb" --estimator "$ESTIMATOR" --trust --out "$D/data"
$G3D fit-stage1 vq3d --data "$D/data" --preset "$PRESET" --set precision=bf16 --set checkpoint=true --set micro_batch=8 \
    --checkpoint-every 20000 --out "$D/model"
$G3D encode "$D/model" --data "$D/data" --split all --out "$D/tokens.safetensors"
$G3D fit-prior "$D/tokens.safetensors" --kind autoregressive --preset vim-base --set precision=bf16 --out "$D/prior"
# shellcheck disable=SC2086
$G3D sample "$D/model" --prior "$D/prior" --num 50000 $HOW --render "$D/sampled"
g3d eval-fid "$D/data" "$D/sampled" --split train --protocol fid50k --out "$D/fid.json"

# Depth of samples against what the estimator says of their pictures (table 1).
# shellcheck disable=SC2086
$G3D sample "$D/model" --prior "$D/prior" --num 1000 $HOW --render "$D/judged" --disparity
g3d eval-geometry "$D/judged" --estimator "$ESTIMATOR" --trust --region picture --out "$D/geometry.json"

if [ -z "$HELD_OUT" ]; then
    echo "without HELD_OUT=FOLDER there is no FID of reconstructions" >&2
    exit 0
fi
g3d prepare-data images "$HELD_OUT" --size 256 --out "$D/held_out"
$G3D encode "$D/model" --data "$D/held_out" --split all --out "$D/held_out.safetensors"
$G3D decode "$D/model" "$D/held_out.safetensors" --render "$D/reconstructed"
g3d eval-fid "$D/held_out" "$D/reconstructed" --out "$D/fid_s1.json"
