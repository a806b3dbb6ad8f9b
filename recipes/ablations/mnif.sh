#!/bin/sh
# The ablations of mNIF (tables 4a, 4b, 4c, 5 and 6), small: photographs of flowers at 32², networks of (L, W) = (2, 64), equal numbers of
# steps; every row over several seeds. A row that diverges is a row. About 40 minutes on one core.
# usage: recipes/ablations/mnif.sh FOLDER_OF_PHOTOS [OUT] [SEEDS]      (SEEDS: words, "0 1 2"; EPOCHS=... scales the
# length; PSNR_ONLY=1 leaves out sets of pictures, a third of the time)
set -eu
PHOTOS=${1:?give the folder with a folder of photographs for each class}
D=${2:-runs/ablation-mnif}
SEEDS=${3:-0 1 2}
EPOCHS=${EPOCHS:-10}
HERE=$(dirname "$0")

mkdir -p "$D"
if [ ! -d "$D/data" ]; then
    (cd "$PHOTOS" && for class in */; do ls "$class" | sort | tail -10 | sed "s|^|$class|"; done) > "$D/held_out.txt"
    g3d prepare-data images "$PHOTOS" --size 32 --split "$D/held_out.txt" --out "$D/data"
fi

pictures() { # pictures RUN: reconstructions of the training pictures, and how far they are from them as a set
    latents="$1/latents.safetensors"
    if [ ! -f "$latents" ]; then
        latents="$1/train.safetensors"
        g3d encode "$1" --data "$D/data" --out "$latents" --overwrite
    fi
    rm -rf "$1/train"
    g3d decode "$1" "$latents" --render "$1/train"
    g3d eval-fid "$D/data" "$1/train" --split train --extractor random --metrics fid,precision,recall --out "$1/frechet.json" --overwrite
}

fit() { # fit ROW SETTING...: every seed that has no result yet; exit 3 (diverged) is a result
    row=$1
    shift
    for seed in $SEEDS; do
        run="$D/$row/$seed"
        [ -f "$run.json" ] && continue
        status=0
        g3d fit-stage1 mnif --data "$D/data" --preset flowers --set points_per_item=256 --set epochs="$EPOCHS" "$@" \
            --seed "$seed" --overwrite --out "$run" || status=$?
        case $status in
        0) ;;
        3) echo '{"diverged": true}' > "$run.json" && continue ;;
        *) exit $status ;;
        esac
        if [ -f "$run/latents.safetensors" ]; then # auto-decoding measures held-out pictures by encoding them
            g3d encode "$run" --data "$D/data" --split test --out "$run/test.safetensors" --overwrite --json > "$run/held_out.json"
        fi
        [ -n "${PSNR_ONLY:-}" ] || pictures "$run"
        python3 "$HERE/gather.py" "$run" > "$run.json"
    done
}

fit latent                                             # L, W, M, H = 2, 64, 64, 256: the row that the others are held against
fit shared --set mixture=shared --set latent_dim=64 --set projection_lr=1
fit layer --set mixture=layer --set projection_lr=1
fit m4 --set bases=4
fit m16 --set bases=16
fit m256 --set bases=256
fit h64 --set latent_dim=64 --set projection_std=0.072
fit h1024 --set latent_dim=1024 --set projection_std=0.018
fit first_order --set adaptation=meta-first-order
fit autodecode --set adaptation=autodecode --set inner_lr=0.01
fit inner5 --set inner_steps=5
fit epochs2 --set epochs=$((EPOCHS * 2))
fit epochs3 --set epochs=$((EPOCHS * 3))

python3 "$HERE/table.py" "$D" latent \
    --order "table 4a, PSNR of training pictures" psnr_train_db shared layer latent \
    --order "table 4b, PSNR of training pictures over M" psnr_train_db m4 m16 latent m256 \
    --order "table 4b, recall of reconstructions over M" recall m4 m16 latent m256 \
    --order "table 4c, PSNR of training pictures over H" psnr_train_db h64 latent h1024 \
    --order "table 4c, PSNR of held-out pictures over H" psnr_test_db h64 latent h1024 \
    --order "table 5, PSNR of training pictures" psnr_train_db first_order autodecode latent inner5 \
    --order "table 6, PSNR of training pictures over epochs" psnr_train_db latent epochs2 epochs3 | tee "$D/table.md"
