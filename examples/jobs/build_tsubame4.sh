#!/usr/bin/env bash
# Builds the programs for TSUBAME 4.0 (H100), without root: bash examples/jobs/build_tsubame4.sh [--help]
set -eo pipefail

# shellcheck source=/dev/null
source "$(dirname "$0")/build.bash"
# the modules of tsubame4_*.sh
build_for_cluster tsubame4 90 "cuda/12.8.0 openmpi/5.0.7-gcc" "$@"
