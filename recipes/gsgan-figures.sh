#!/bin/sh
# The figures of GSGAN's paper for any model of it: 4, 9, 10 samples; 5, 11 views; 6 levels; 8 positions; 12 interpolation; 13 inversion of
# photographs; 14 anchors; 15 background and far view; table 1's rendering times; and a sheet of truncations, how large Gaussians of each
# level are, and a splat file.
# usage: recipes/gsgan-figures.sh MODEL OUT      (PSI=0.7, SIZE=256 pixels, RADIUS=0.008 of points, SIZES=256,512 whose times are taken,
#   PHOTOS=DATASET of a few photographs (prepare-data images, at the model's size) for figure 13,
#   GRID=4x9:-23,23:-23,6 elevations by azimuths and their ranges, degrees: the paper's; GRID=4x9: those of the data)
set -eu
MODEL=${1:?give a model}
D=${2:?give a folder for the figures}
PSI=${PSI:-0.7}; SIZE=${SIZE:-256}; GRID=${GRID:-4x9:-23,23:-23,6}; RADIUS=${RADIUS:-0.008}
mkdir -p "$D"

g3d sample "$MODEL" --num 64 --truncation "$PSI" --render "$D/samples" --size "$SIZE" --sheet "$D/figure-4-9-10-samples.png"
g3d sample "$MODEL" --num 4 --truncation "$PSI" --out "$D/scenes" --latents "$D/latents.safetensors"
ANCHORS=yes # but for a model that was fitted without them
g3d sample "$MODEL" --num 4 --truncation "$PSI" --set anchors=true --out "$D/anchors" || ANCHORS=""
g3d render "$D/scenes" --cameras "grid:$GRID" --size "$SIZE" --out "$D/views" --sheet "$D/figure-5-views.png"
SHAPE=${GRID%%:*}
g3d sheet "$D/views/000000" --columns "${SHAPE#*x}" --rows "${SHAPE%x*}" --size 128 --out "$D/figure-11-grid.png"

drawn() { # drawn NAME FOLDER SETTING...: the four scenes of a folder, side by side under that name
    name=$1; scenes=$2; shift 2
    g3d render "$scenes" --size "$SIZE" "$@" --out "$D/parts/$name"
}

drawn whole "$D/scenes"
drawn front "$D/scenes" --set backdrop=off
LEVELS=$(g3d info "$D/scenes" --levels | sed -n 's/^mean_log_scale_level_\([0-9]*\) .*/\1/p')
set -- # the rows of figures 6 and 14
for level in $LEVELS; do
    drawn "level-$level" "$D/scenes" --set levels="$level" --set backdrop=off
    set -- "$@" "$D/parts/level-$level"
done
g3d sheet "$@" "$D/parts/front" --columns 4 --size 128 --out "$D/figure-6-levels.png"
[ -n "$ANCHORS" ] && for level in $(g3d info "$D/anchors" --levels | sed -n 's/^mean_log_scale_level_\([0-9]*\) .*/\1/p'); do
    drawn "anchors-$level" "$D/anchors" --set levels="$level" --set opacity_one=true
    set -- "$@" "$D/parts/anchors-$level"
done
g3d sheet "$@" --columns 4 --size 128 --out "$D/figure-14-gaussians-then-anchors.png"
drawn points "$D/scenes" --set point_radius="$RADIUS" --set backdrop=off
drawn small "$D/scenes" --set scale_modifier=0.3 --set backdrop=off
g3d sheet "$D/parts/front" "$D/parts/small" "$D/parts/points" --columns 4 --size 128 --out "$D/figure-1-8-scales-and-positions.png"
drawn far "$D/scenes" --cameras far:3
g3d sheet "$D/parts/whole" "$D/parts/front" "$D/parts/far" --columns 4 --size 128 --out "$D/figure-15-background.png"

g3d edit interpolate "$D/latents.safetensors" --items 0,1,2,3 --steps 5 --out "$D/path.safetensors"
g3d decode "$MODEL" "$D/path.safetensors" --render "$D/interpolation" --size "$SIZE"
g3d sheet "$D/interpolation" --columns 13 --out "$D/figure-12-interpolation.png"

if [ -n "${PHOTOS:-}" ]; then # rows: photographs, what w+ gives back, other views of it (A.4); pivotal tuning is the paper's outlook
    g3d encode "$MODEL" --data "$PHOTOS" --split all --set camera=found --out "$D/inverted.safetensors"
    g3d decode "$MODEL" "$D/inverted.safetensors" --render "$D/inverted" --size "$SIZE"
    g3d decode "$MODEL" "$D/inverted.safetensors" --render "$D/novel" --cameras "grid:1x5:-23,23:0,0" --size "$SIZE" \
        --sheet "$D/figure-13-novel-views.png"
    g3d sheet "$PHOTOS" "$D/inverted" --columns 4 --size 128 --out "$D/figure-13-inversion.png"
fi
g3d profile "$D/scenes/000000.safetensors" --sizes "${SIZES:-256,512}" --repeats 50 --json > "$D/table-1-times.json" # of a scene that is made

set --
for psi in 0 0.3 0.5 0.7 1; do
    g3d sample "$MODEL" --num 8 --truncation $psi --render "$D/parts/psi-$psi" --size "$SIZE"
    set -- "$@" "$D/parts/psi-$psi"
done
g3d sheet "$@" --columns 8 --size 128 --out "$D/truncation.png"

g3d sample "$MODEL" --num 100 --truncation "$PSI" --out "$D/hundred"
g3d info "$D/hundred" --levels --json > "$D/gaussians.json"
if [ -n "$ANCHORS" ]; then # A.5: anchors are larger, -5.08 against -7.12 in the paper
    g3d sample "$MODEL" --num 100 --truncation "$PSI" --set anchors=true --out "$D/hundred" --overwrite
    g3d info "$D/hundred" --levels --json > "$D/anchors.json"
fi
rm -r "$D/hundred"
g3d export-ply "$D/scenes" --as splats --out "$D/splats"
