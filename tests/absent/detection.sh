#!/usr/bin/env bash
# Checks the configuration's messages for broken, removed and repaired dependencies, and for options with invalid
# values.
#
#   detection.sh FOLDER_FOR_BUILDS
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$1
rm -rf "$build"
mkdir -p "$build/broken"
touch "$build/broken/libdnnl.so" # a library that is no library
cases=0

fail() {
  echo "detection: $*" >&2
  exit 1
}

# configure STATUS TEXT FLAG...: configures in $folder; what CMake says, folded to one line, must contain the text.
configure() {
  local status=$1 text=$2 said got=0
  shift 2
  said=$(cmake -S "$root" -B "$folder" -G Ninja -DMODERNGPT2_CUDA=OFF "$@" 2>&1) || got=$?
  said=$(tr -s ' \n' '  ' <<<"$said")
  [ "$got" = "$status" ] || fail "$*: exit status $got instead of $status: $said"
  [[ $said == *"$text"* ]] || fail "$*: no '$text' in: $said"
  cases=$((cases + 1))
}

folder=$build/options
configure 1 MODERNGPT2_PARQUET -DMODERNGPT2_PARQUET=banana
configure 1 MODERNGPT2_ARCH -DMODERNGPT2_PARQUET=AUTO -DMODERNGPT2_ARCH=no-such-processor
configure 0 "oneDNN off" -DMODERNGPT2_ARCH=native -DMODERNGPT2_ONEDNN=off

folder=$build/onednn
broken=(-DMODERNGPT2_moderngpt2__onednn_LIBRARY="$build/broken/libdnnl.so")
configure 0 "oneDNN no" "${broken[@]}"
configure 1 "MODERNGPT2_ONEDNN is ON" "${broken[@]}" -DMODERNGPT2_ONEDNN=ON
configure 0 "oneDNN yes" -UMODERNGPT2_moderngpt2__onednn_LIBRARY -DMODERNGPT2_ONEDNN=AUTO
configure 0 "oneDNN no" "${broken[@]}"

folder=$build/mpi
configure 0 "MPI no" -DMPI_EXECUTABLE_SUFFIX=-hidden -DPKG_CONFIG_EXECUTABLE=
configure 0 "MPI yes" -UMPI_EXECUTABLE_SUFFIX -UPKG_CONFIG_EXECUTABLE
configure 0 "MPI off" -DMODERNGPT2_MPI=OFF

folder=$build/parquet
mkdir -p "$build/broken/pyarrow"
touch "$build/broken/pyarrow/libarrow.so.1" "$build/broken/pyarrow/libparquet.so.1"
configure 0 "Parquet no" -DMODERNGPT2_PYARROW_DIR="$build/broken" -DCMAKE_DISABLE_FIND_PACKAGE_Arrow=ON
configure 0 "Parquet yes" -UMODERNGPT2_PYARROW_DIR

echo "$cases configurations"
