#!/bin/sh
# HyperNeRFGAN on CARLA's cars: a folder or zip of unposed pictures at 128². PRESET=t4 is the report's low-memory baseline
# (200 kimg, 16 GB); PRESET=carla the public settings (25,000 kimg).
# usage: [PRESET=t4] recipes/hypernerfgan-carla.sh PICTURES [OUT]
set -eu
exec sh "$(dirname "$0")/hypernerfgan-unposed.sh" "${PRESET:-t4}" "${1:?give the folder or zip of pictures}" "${2:-runs/hypernerfgan-carla}"
