#!/usr/bin/env bash
# Checks that kernels compile with the headers of CUDA 12.1, by clang as CUDA compiler, for the device only:
#
#   check_cuda12.sh CLANG HEADERS WORK COMPILER_FLAGS...
#
# HEADERS: unpacked wheels (cmake/install_dependencies.sh --all-tests). WORK: folder for a toolkit made of them. Each
# kernels/NAME.cuh instantiates its kernels for float, bf16 and f16.
set -euo pipefail
clang=$1 headers=$2 work=$3
shift 3
kernels=$(cd "$(dirname "$0")/../../../include" && pwd)/moderngpt2/backend/cuda/kernels

rm -rf "$work"
mkdir -p "$work/include" "$work/bin" "$work/nvvm/libdevice"
for folder in "$headers"/nvidia/*/include; do cp -rsf "$folder"/. "$work/include/"; done
# clang 16 compiles for CUDA up to 11.8 and refuses to launch kernels for a version that it does not know.
rm "$work/include/cuda.h"
sed 's/define CUDA_VERSION 12[0-9]*/define CUDA_VERSION 11080/' "$headers/nvidia/cuda_runtime/include/cuda.h" \
  >"$work/include/cuda.h"
{
  echo '#include <cuda_runtime.h>'
  for file in "$kernels"/*.cuh; do echo "#include \"$file\""; done
} >"$work/kernels.cu"
for architecture in sm_80 sm_90; do
  "$clang" -x cuda --cuda-device-only --cuda-path="$work" -nocudalib --cuda-gpu-arch=$architecture -std=c++20 \
    -fsyntax-only -Wno-unknown-cuda-version -Xclang -target-sdk-version=11.8 -DFMT_HEADER_ONLY=1 -DFMT_USE_FLOAT128=0 "$@" "$work/kernels.cu"
done
echo "kernels compile with the headers of CUDA 12.1 for sm_80 and sm_90"
