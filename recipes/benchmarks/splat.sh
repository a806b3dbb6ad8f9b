#!/bin/sh
# Time of the Gaussian rasteriser on two workloads, as multiples of the machine's arithmetic limit; about a minute.
set -e
"${PYTHON:-python}" "$(dirname "$0")/splat.py" "$@"
