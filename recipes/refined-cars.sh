#!/bin/sh
# A refiner for any method's pictures: mNIF, fitted briefly to procedural cars, draws them blurred; a diffusion model learns from the
# training views what it leaves out, and refines views from places that neither has seen. About 15 minutes of one core.
# usage: recipes/refined-cars.sh [OUT]
set -eu
D=${1:-runs/refined-cars}
DEVICE=${DEVICE:-cpu}

g3d prepare-data procedural cars --num 32 --views 16 --test-views 8 --size 32 --out "$D/data"
g3d fit-stage1 mnif --data "$D/data" --preset demo --set epochs=250 --device "$DEVICE" --out "$D/model"

for SPLIT in train test; do
  g3d decode "$D/model" "$D/model" --render "$D/coarse-$SPLIT" --alpha --cameras "dataset:$D/data:$SPLIT" --device "$DEVICE"
done
g3d fit-refiner "$D/coarse-train" "$D/data" --split train --preset laptop --set channels=16 --set steps=2000 --set lr=2e-3 --set batch=16 \
  --device "$DEVICE" --out "$D/refiner"
g3d refine "$D/coarse-test" --refiner "$D/refiner" --device "$DEVICE" --out "$D/refined-test"

for KIND in coarse refined; do
  g3d eval-recon "$D/data" "$D/$KIND-test" --split test --masks --device "$DEVICE" --out "$D/recon-$KIND.json"
  g3d eval-fid "$D/data" "$D/$KIND-test" --split test --extractor efficientnet --device "$DEVICE" --out "$D/kernel-$KIND.json"
done
g3d sheet "$D/coarse-test" "$D/refined-test" "$D/data:test" --columns 12 --rows 3 --out "$D/sheet.png"
