#!/bin/sh
# mNIF with the paper's S network on 25 textured vehicles (GLB files; Kenney's Car Kit, CC0), 50 views each at 64², 4 vehicles held
# out; about 25 minutes on two cores.
# usage: recipes/mnif-cars.sh FOLDER_OF_GLB [OUT]
set -eu
CARS=${1:?give the folder with the GLB files}
D=${2:-runs/mnif-cars}

g3d prepare-data meshes "$CARS" --views 50 --test-views 20 --size 64 --holdout 4 --out "$D/data"
g3d fit-stage1 mnif --data "$D/data" --preset cars --out "$D/model"
g3d fit-prior "$D/model" --kind diffusion --set width=256 --set epochs=12000 --set lr=1e-3 --out "$D/prior"

g3d sample "$D/model" --prior "$D/prior" --num 25 --out "$D/scenes"
g3d render "$D/scenes" --cameras orbit:9 --size 64 --out "$D/views" --video "$D/turntable.mp4" --sheet "$D/views.png"
g3d export-ply "$D/scenes" --as mesh --resolution 96 --out "$D/meshes"
g3d edit grid "$D/model" --items firetruck,sedan,police,tractor-shovel --steps 5 --out "$D/grid.safetensors"
g3d decode "$D/model" "$D/grid.safetensors" --render "$D/grid" --size 64 --sheet "$D/grid.png"

g3d encode "$D/model" --data "$D/data" --split test --out "$D/held_out.safetensors"
g3d decode "$D/model" "$D/held_out.safetensors" --render "$D/held_out" --cameras "dataset:$D/data:test"
g3d eval-recon "$D/data" "$D/held_out" --objects test --split test --out "$D/recon_held_out.json"
g3d decode "$D/model" "$D/model" --render "$D/reconstructed" --cameras "dataset:$D/data:test"
g3d eval-recon "$D/data" "$D/reconstructed" --objects train --split test --out "$D/recon_train.json"
g3d sample "$D/model" --prior "$D/prior" --num 200 --render "$D/sampled" --cameras "dataset:$D/data:test"
g3d eval-fid "$D/data" "$D/reconstructed" --split test --objects train --extractor efficientnet --out "$D/kernel_reconstructed.json"
g3d eval-fid "$D/data" "$D/sampled" --split test --objects train --extractor efficientnet --out "$D/kernel_sampled.json"
g3d sheet "$D/data:test" "$D/reconstructed" "$D/sampled" --columns 12 --rows 2 --out "$D/sheet.png"
g3d profile "$D/model" --size 128
