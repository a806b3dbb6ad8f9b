#!/bin/sh
# VQ3D on CompCars, without classes; the paper's FID is 7.3.
# usage: recipes/vq3d-compcars.sh FOLDER_OF_PICTURES ESTIMATOR.pt [OUT]
set -eu
sh "$(dirname "$0")/vq3d-pictures.sh" compcars256 "${1:?give the pictures}" "${2:?give the estimator}" "${3:-runs/vq3d-compcars}"
