#!/usr/bin/env bash
# Builds the project with foreign layers against an installed copy of the library, and runs its programs: in one
# process, and as two MPI processes in ZeRO stages 1 and 3.
#
#   check_foreign_layers.sh BUILD_FOLDER COMPILER [MPIEXEC]
set -euo pipefail

build=$1
compiler=$2
mpiexec=${3:-}
here=$(cd "$(dirname "$0")" && pwd)
text=$here/../../docs/architecture.md
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cmake --install "$build" --prefix "$scratch/prefix" --component development >/dev/null
cmake -S "$here/foreign_layers" -B "$scratch/build" -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_CXX_FLAGS="-O1" \
  -DCMAKE_PREFIX_PATH="$scratch/prefix" -Werror=dev
cmake --build "$scratch/build"
export OMP_NUM_THREADS=1
for program in attention mlp norm scaling together; do
  echo "== $program"
  "$scratch/build/$program" check "$text" "$scratch/$program"
  [ -n "$mpiexec" ] || continue
  for stage in 1 3; do
    "$mpiexec" -n 2 "$scratch/build/$program" ranks "$text" "$scratch/$program-$stage" $stage
  done
done
