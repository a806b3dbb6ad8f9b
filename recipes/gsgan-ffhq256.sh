#!/bin/sh
# GSGAN on FFHQ at 256 pixels.
# usage: recipes/gsgan-ffhq256.sh PICTURES [OUT]      (WEIGHTS=network.pkl: the authors' weights instead of training)
set -eu
exec sh "$(dirname "$0")/gsgan-posed.sh" ffhq256 256 "${1:?give the folder or zip of pictures with dataset.json}" ${2:+"$2"}
