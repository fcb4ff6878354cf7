#!/usr/bin/env bash
# Builds the programs for ABCI 3.0 (H200), without root: bash examples/jobs/build_abci3.sh [--help]
set -eo pipefail

# shellcheck source=/dev/null
source "$(dirname "$0")/build.bash"
# the modules of abci3_*.sh
build_for_cluster abci3 90 "cuda/12.6/12.6.1 hpcx/2.20" "$@"
