#!/bin/sh
# GSGAN on AFHQ-Cat at 256 pixels.
# usage: recipes/gsgan-afhq256.sh PICTURES [OUT]      (WEIGHTS=network.pkl: the authors' weights instead of training)
set -eu
exec sh "$(dirname "$0")/gsgan-posed.sh" afhq256 256 "${1:?give the folder or zip of pictures with dataset.json}" ${2:+"$2"}
