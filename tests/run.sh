#!/usr/bin/env bash
# Everything that must hold before a change is accepted, from a fresh clone on: builds, tests, sanitizers, both compilers
# (nvcc too where it is).
set -euo pipefail
cd "$(dirname "$0")/.."

HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
export HOME
jobs=$(nproc)

stage() { printf '\n== %s (%d s so far)\n' "$*" "$SECONDS"; }

stage "what it needs"
env -u SUDO_USER bash cmake/install_dependencies.sh --tests # as whoever builds, under sudo too

stage "programs, tests and benchmarks with g++, warnings being errors"
cmake --preset ci
cmake --build --preset ci -j "$jobs"
ctest --preset ci -j "$jobs"

stage "AddressSanitizer and UndefinedBehaviorSanitizer on the quick areas"
quick_areas=(core config io tokenizer data distributed)
cmake --preset asan
cmake --build --preset asan -j "$jobs" --target "${quick_areas[@]/#/test_}"
ctest --preset asan -j "$jobs" -R "^($(IFS='|' && echo "${quick_areas[*]}"))\$"

stage "clang and ThreadSanitizer on the parallel loops"
cmake --preset tsan
cmake --build --preset tsan -j "$jobs" --target test_core
ctest --preset tsan -R '^core$'

if command -v nvcc >/dev/null; then
  stage "CUDA kernels with nvcc, warnings and unlisted spills being errors, and models linked with them"
  cmake --build --preset ci --target golden_gpu cuda_benchmark_kernels cuda_benchmark_models
else
  stage "no nvcc here: CUDA kernels were only run on the simulated GPU"
fi

stage "all is well"
