#!/bin/sh
# The distances of two sets of pictures, by the extractor that EXTRACTOR names:
#   inception     FID, with the resizer of TensorFlow, as StyleGAN2-ADA's code computes it, and with it EG3D's, GSGAN's and
#                 HyperNeRFGAN's (RESIZE=clean: clean-fid's); ends with exit 4 where Inception's file cannot be had
#   efficientnet  features that know pictures, installed with g3d; random: colours and coarse shapes
#   a file        TorchScript or ONNX, with EXTRACTOR_OPTIONS="--extractor-range signed --trust"
#   auto          inception where its file is at hand or can be had, else efficientnet (the default)
# usage: [EXTRACTOR=auto] recipes/fid.sh REAL FAKE OUT.json [OPTION OF eval-fid ...]
set -eu
REAL=${1:?give the real pictures}; FAKE=${2:?give the others}; OUT=${3:?give the JSON file to write}
shift 3
EXTRACTOR=${EXTRACTOR:-auto}

case $EXTRACTOR in
auto | inception)
    status=0
    g3d eval-fid "$REAL" "$FAKE" --extractor inception --resize "${RESIZE:-legacy_tensorflow}" "$@" --out "$OUT" || status=$?
    if [ "$status" != 4 ] || [ "$EXTRACTOR" = inception ]; then exit $status; fi
    echo "no FID without Inception's file: $OUT has the figures of EfficientNet" >&2
    EXTRACTOR=efficientnet
    ;;
esac
# shellcheck disable=SC2086
g3d eval-fid "$REAL" "$FAKE" --extractor "$EXTRACTOR" ${EXTRACTOR_OPTIONS:-} "$@" --out "$OUT"
