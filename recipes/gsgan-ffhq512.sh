#!/bin/sh
# GSGAN on FFHQ at 512 pixels.
# usage: recipes/gsgan-ffhq512.sh PICTURES [OUT]      (WEIGHTS=network.pkl: the authors' weights instead of training)
set -eu
exec sh "$(dirname "$0")/gsgan-posed.sh" ffhq512 512 "${1:?give the folder or zip of pictures with dataset.json}" ${2:+"$2"}
