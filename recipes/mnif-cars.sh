#!/bin/sh
# mNIF on 25 textured vehicles (GLB files; Kenney's Car Kit, CC0), 50 views each at 64²; about 14 minutes on two cores.
# usage: recipes/mnif-cars.sh FOLDER_OF_GLB [OUT]
set -eu
CARS=${1:?give the folder with the GLB files}
D=${2:-runs/mnif-cars}

g3d prepare-data meshes "$CARS" --views 50 --test-views 20 --size 64 --out "$D/data"
g3d fit-stage1 mnif --data "$D/data" --preset demo --set hidden_layers=3 --set bases=128 --set latent_dim=128 \
    --set points_per_ray=32 --set epochs=4000 --set lr=1e-3 --set inner_lr=1e-3 --out "$D/model"
g3d fit-prior "$D/model" --kind diffusion --set width=256 --set epochs=12000 --set lr=1e-3 --out "$D/prior"

g3d sample "$D/model" --prior "$D/prior" --num 16 --out "$D/scenes"
g3d render "$D/scenes" --cameras orbit:24 --size 64 --out "$D/views" --video "$D/turntable.mp4" --sheet "$D/views.png"
g3d export-ply "$D/scenes" --as mesh --resolution 96 --out "$D/meshes"
g3d edit interpolate "$D/model" --items firetruck,sedan,van --steps 5 --out "$D/path.safetensors"
g3d decode "$D/model" "$D/path.safetensors" --render "$D/interpolation" --size 96
g3d sheet "$D/interpolation" --columns 9 --out "$D/interpolation.png"

g3d decode "$D/model" "$D/model" --render "$D/reconstructed" --cameras "dataset:$D/data:test"
g3d sample "$D/model" --prior "$D/prior" --num 200 --render "$D/sampled" --cameras "dataset:$D/data:test"
g3d eval-fid "$D/data" "$D/reconstructed" --split test --extractor random --out "$D/frechet_reconstructed.json"
g3d eval-fid "$D/data" "$D/sampled" --split test --extractor random --out "$D/frechet_sampled.json"
g3d sheet "$D/data:test" "$D/reconstructed" "$D/sampled" --columns 12 --rows 2 --out "$D/sheet.png"
g3d profile "$D/model" --size 128
