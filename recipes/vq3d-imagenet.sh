#!/bin/sh
# VQ3D on ImageNet, by class; the paper's FID is 16.8, its inception score 82.9.
# usage: recipes/vq3d-imagenet.sh FOLDER_WITH_A_FOLDER_A_CLASS ESTIMATOR.pt [OUT]
set -eu
sh "$(dirname "$0")/vq3d-pictures.sh" imagenet256 "${1:?give the pictures}" "${2:?give the estimator}" "${3:-runs/vq3d-imagenet}"
