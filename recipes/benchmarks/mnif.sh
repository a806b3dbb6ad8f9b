#!/bin/sh
# How near mNIF comes to its bare matrix products, on a CPU or a GPU, in one run; a small model is fitted for the row about
# empty space. About 10 minutes on two cores, nearly all of it the model.
# usage: recipes/benchmarks/mnif.sh [FOLDER] [--device cpu|cuda] [--threads N] [--repeats N] ...
set -eu
D=runs/benchmark-mnif
case ${1:-} in '' | --*) ;; *) D=$1; shift ;; esac

if [ ! -d "$D/scenes" ]; then
    g3d prepare-data procedural cars --num 48 --views 16 --test-views 8 --size 32 --out "$D/data"
    g3d fit-stage1 mnif --data "$D/data" --preset demo --out "$D/model"
    g3d decode "$D/model" "$D/model" --items 0-3 --out "$D/scenes"
fi
python3 "$(dirname "$0")/mnif.py" --scene "$D/scenes/000000.safetensors" --json "$D/figures.json" "$@"
