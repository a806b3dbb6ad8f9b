#!/bin/sh
# mNIF on photographs of flowers at 64² by meta-learning: 250 to learn from, 50 held out; about 15 minutes on two cores.
# usage: recipes/mnif-flowers.sh FOLDER_OF_PHOTOS [OUT]      (FOLDER/CLASS/*.jpg)
set -eu
PHOTOS=${1:?give the folder with a folder of photographs for each class}
D=${2:-runs/mnif-flowers}

mkdir -p "$D"
(cd "$PHOTOS" && for class in */; do ls "$class" | sort | tail -10 | sed "s|^|$class|"; done) > "$D/held_out.txt"
g3d prepare-data images "$PHOTOS" --size 64 --split "$D/held_out.txt" --out "$D/data"
g3d fit-stage1 mnif --data "$D/data" --preset flowers --out "$D/model"
g3d encode "$D/model" --data "$D/data" --split train --out "$D/train.safetensors"
g3d encode "$D/model" --data "$D/data" --split test --out "$D/test.safetensors"

g3d decode "$D/model" "$D/train.safetensors" --render "$D/reconstructed"
g3d decode "$D/model" "$D/test.safetensors" --render "$D/held_out"
g3d eval-recon "$D/data" "$D/reconstructed" --objects train --out "$D/recon_train.json"
g3d eval-recon "$D/data" "$D/held_out" --objects test --out "$D/recon_test.json"
g3d eval-fid "$D/data" "$D/reconstructed" --split train --extractor efficientnet --out "$D/kernel_reconstructed.json"

for kind in diffusion interpolation; do
    case $kind in
    diffusion) set -- --set width=512 --set epochs=2000 --set lr=5e-4 ;;
    *) set -- ;;
    esac
    g3d fit-prior "$D/train.safetensors" --kind $kind "$@" --out "$D/$kind"
    g3d sample "$D/model" --prior "$D/$kind" --num 250 --render "$D/sampled_$kind"
    g3d eval-fid "$D/data" "$D/sampled_$kind" --split train --extractor efficientnet --out "$D/kernel_$kind.json"
done

g3d edit grid "$D/train.safetensors" --items 0,60,120,180 --steps 6 --out "$D/grid.safetensors"
g3d decode "$D/model" "$D/grid.safetensors" --render "$D/grid" --size 128 --sheet "$D/grid.png"
g3d sheet "$D/data:train" "$D/reconstructed" "$D/sampled_diffusion" "$D/sampled_interpolation" --columns 12 --out "$D/sheet.png"
g3d profile "$D/model"
