#!/bin/sh
# HyperNeRFGAN on a class of ShapeNet (cars, planes, chairs): a folder or zip of unposed pictures, as the report uses them at 128².
# usage: recipes/hypernerfgan-shapenet.sh cars|planes|chairs PICTURES [OUT]     (LOW_MEMORY=1: the report's baseline, P = N_s = 32, gamma 1)
set -eu
CLASS=${1:?say which: cars, planes or chairs}
PRESET=shapenet-$CLASS
if [ "${LOW_MEMORY:-0}" = 1 ]; then PRESET=t4-$CLASS; fi
exec sh "$(dirname "$0")/hypernerfgan-unposed.sh" "$PRESET" "${2:?give the folder or zip of pictures}" "${3:-runs/hypernerfgan-$CLASS}"
