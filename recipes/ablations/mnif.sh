#!/bin/sh
# The ablations of mNIF: tables 4a, 4b, 4c, 5 and 6, and where alpha begins (A.2.4). Small by default: photographs of flowers at 32², networks
# of (L, W) = (2, 64), equal numbers of steps, about 40 minutes on one core. PAPER=1: the paper's, on CelebA-HQ at 64² with its sizes (M from
# 16 to 1,024, (5, 128) with H from 256 to 1,024, 400 epochs, table 6 with 800 and 1,200); many days on one GPU. Every row over several
# seeds; a row that diverges is a row.
# usage: recipes/ablations/mnif.sh FOLDER_OF_PICTURES [OUT] [SEEDS]      (SEEDS: words, "0 1 2")
#   PAPER=1 with LIST=FILE of held-out names; EPOCHS=... scales the length; TABLES="4a 4b 4c 5 6 start": which; BASE="--set ...": all rows
#   EXTRACTOR=auto|inception|efficientnet|random|FILE: see ../fid.sh, of reconstructed training and held-out pictures, and in table 6 of
#   samples; SAMPLES=250; PSNR_ONLY=1 leaves out sets of pictures, a third of the time
set -eu
PHOTOS=${1:?give the folder with the pictures, of flowers a folder for each class}
D=${2:-runs/ablation-mnif}
SEEDS=${3:-0 1 2}
PAPER=${PAPER:-}; BASE=${BASE:-}; TABLES=${TABLES:-4a 4b 4c 5 6 start}
HERE=$(dirname "$0")
RESIZE=clean; export RESIZE

mkdir -p "$D"
if [ -n "$PAPER" ]; then
    LIST=${LIST:?PAPER=1 needs LIST, a file with the names of held-out pictures}
    EPOCHS=${EPOCHS:-400}; SAMPLES=${SAMPLES:-27000}; SIZE=64; PRESET="--preset celebahq64-l"
else
    EPOCHS=${EPOCHS:-10}; SAMPLES=${SAMPLES:-250}; SIZE=32; PRESET="--preset flowers --set points_per_item=256"; LIST=$D/held_out.txt
    (cd "$PHOTOS" && for class in */; do ls "$class" | sort | tail -10 | sed "s|^|$class|"; done) > "$LIST"
fi
if [ ! -d "$D/data" ]; then
    g3d prepare-data images "$PHOTOS" --size "$SIZE" --split "$LIST" --out "$D/data"
fi

pictures() { # pictures RUN: reconstructions of training and held-out pictures, and how far they are from them as sets
    for split in train test; do
        latents="$1/latents.safetensors" # of an auto-decoded model, of its training pictures
        if [ ! -f "$latents" ] || [ $split = test ]; then
            latents="$1/$split.safetensors"
            g3d encode "$1" --data "$D/data" --split $split --out "$latents" --overwrite
        fi
        rm -rf "$1/$split"
        g3d decode "$1" "$latents" --render "$1/$split"
        sh "$HERE/../fid.sh" "$D/data" "$1/$split" "$1/fid_$split.json" --split $split --metrics fid,kid,precision,recall --overwrite
    done
}

generated() { # generated RUN: samples of a diffusion prior against the training pictures
    g3d fit-prior "$1/train.safetensors" --kind diffusion $PRIOR --out "$1/prior" --overwrite
    g3d sample "$1" --prior "$1/prior" --num "$SAMPLES" --render "$1/sampled" --overwrite
    sh "$HERE/../fid.sh" "$D/data" "$1/sampled" "$1/fid_generated.json" --split train --metrics fid,kid,precision,recall --overwrite
}
if [ -n "$PAPER" ]; then PRIOR="--preset paper"; else PRIOR="--set width=256 --set epochs=500 --set lr=1e-3"; fi

fit() { # fit ROW SETTING...: every seed that has no result yet; exit 3 (diverged) is a result
    row=$1
    shift
    for seed in $SEEDS; do
        run="$D/$row/$seed"
        [ -f "$run.json" ] && continue
        status=0
        # shellcheck disable=SC2086
        g3d fit-stage1 mnif --data "$D/data" $PRESET --set epochs="$EPOCHS" $BASE "$@" --seed "$seed" --overwrite --out "$run" || status=$?
        case $status in
        0) ;;
        3) echo '{"diverged": true}' > "$run.json" && continue ;;
        *) exit $status ;;
        esac
        if [ -f "$run/latents.safetensors" ]; then # auto-decoding measures held-out pictures by encoding them
            g3d encode "$run" --data "$D/data" --split test --out "$run/test.safetensors" --overwrite --json > "$run/held_out.json"
        fi
        if [ -z "${PSNR_ONLY:-}" ]; then
            pictures "$run"
            case $row in epochs*) generated "$run" ;; esac
        fi
        python3 "$HERE/gather.py" "$run" > "$run.json.part"
        mv "$run.json.part" "$run.json"
    done
}

sizes() { # sizes L W M H [even]: a network of the paper, T and codes so that alpha begins as 1/M +- 1/sqrt(M), or as 1/M
    awk -v l="$1" -v w="$2" -v m="$3" -v h="$4" -v even="${5:-}" 'BEGIN { printf "--set hidden_layers=%d --set width=%d --set bases=%d --set latent_dim=%d ", l, w, m, h
        printf "--set projection_std=%.4f ", 1 / sqrt(3 * h)
        if (even) printf "--set alpha_start=even"; else printf "--set latent_std=%.4f", sqrt(3 / m) }'
}

paper() { # the rows of one table with the paper's sizes
    case $1 in
    4a) fit latent $(sizes 2 64 64 256); fit shared $(sizes 2 64 64 64) --set mixture=shared --set latent_std=0.125
        fit layer $(sizes 2 64 64 256) --set mixture=layer --set latent_std=0.125 ;;
    4b) fit m16 $(sizes 2 64 16 256); fit latent $(sizes 2 64 64 256); fit m256 $(sizes 2 64 256 256); fit m1024 $(sizes 2 64 1024 256) ;;
    4c) fit h256 $(sizes 5 128 256 256); fit h512 $(sizes 5 128 256 512); fit h1024 $(sizes 5 128 256 1024) ;;
    5) fit first_order $(sizes 2 64 256 256) --set adaptation=meta-first-order; fit m256 $(sizes 2 64 256 256)
        fit autodecode $(sizes 2 64 256 256) --set adaptation=autodecode --set inner_lr=1e-4
        fit inner5 $(sizes 2 64 256 256) --set inner_steps=5 ;;
    6) for epochs in 400 800 1200; do fit epochs$epochs $(sizes 5 128 256 512) --set epochs=$epochs; done ;;
    start) fit latent $(sizes 2 64 64 256); fit start_even $(sizes 2 64 64 256 even) ;;
    *) echo "there is no table '$1'" >&2; exit 2 ;;
    esac
}

small() { # the same, small; `latent`, (L, W, M, H) = (2, 64, 64, 256), is the row that the others are held against
    fit latent
    case $1 in
    4a) fit shared --set mixture=shared --set latent_dim=64; fit layer --set mixture=layer ;;
    4b) fit m4 --set bases=4; fit m16 --set bases=16; fit m256 --set bases=256 ;;
    4c) fit h64 --set latent_dim=64 --set projection_std=0.072; fit h1024 --set latent_dim=1024 --set projection_std=0.018 ;;
    5) fit first_order --set adaptation=meta-first-order; fit autodecode --set adaptation=autodecode --set inner_lr=0.01
        fit inner5 --set inner_steps=5 ;;
    6) for times in 1 2 3; do fit epochs$times --set epochs="$(awk "BEGIN { print $EPOCHS * $times }")"; done ;;
    start) fit start_even --set alpha_start=even; fit start_wide --set latent_std=0.2165 ;;
    *) echo "there is no table '$1'" >&2; exit 2 ;;
    esac
}

for table in $TABLES; do
    # shellcheck disable=SC2046,SC2086
    if [ -n "$PAPER" ]; then paper $table; else small $table; fi
done

if [ -n "$PAPER" ]; then
    LATENT=m256; MS="m16 latent m256 m1024"; HS="h256 h512 h1024"; LENGTHS="epochs400 epochs800 epochs1200"
else
    LATENT=latent; MS="m4 m16 latent m256"; HS="h64 latent h1024"; LENGTHS="epochs1 epochs2 epochs3"
fi
# shellcheck disable=SC2086
python3 "$HERE/table.py" "$D" latent \
    --order "table 4a, PSNR of training pictures" psnr_train_db shared layer latent \
    --order "table 4b, PSNR of training pictures over M" psnr_train_db $MS \
    --order "table 4b, recall of reconstructions over M" rrecall $MS \
    --order "table 4c, PSNR of training pictures over H" psnr_train_db $HS \
    --order "table 4c, PSNR of held-out pictures over H" psnr_test_db $HS \
    --order "table 5, PSNR of training pictures" psnr_train_db first_order autodecode $LATENT inner5 \
    --order "table 6, PSNR of training pictures over epochs" psnr_train_db $LENGTHS \
    --order "A.2.4, alpha begins as 1/M or spread" psnr_train_db latent start_even | tee "$D/table.md"
