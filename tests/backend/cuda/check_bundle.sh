#!/usr/bin/env bash
# The bundle of run_gpu.sh is enough: without a network, and with the system's copies of what it holds hidden, its
# headers compile, and its first step builds and runs. Exit 77: this machine permits no namespaces.
#
#   check_bundle.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/../../.."
folder=$1
export MODERNGPT2_GPU_FOLDER=$folder/bundle MODERNGPT2_GPU_STEPS=primitives

if [[ ${2:-} != inside ]]; then
  mkdir -p "$folder/empty"
  bash tests/run_gpu.sh --bundle
  unshare -rnm true 2>/dev/null || { echo "skipped: unshare -rnm is not permitted here" && exit 77; }
  exec unshare -rnm bash "$0" "$folder" inside
fi

for place in /usr/include /usr/include/eigen3 /usr/local/include /usr/local/include/eigen3; do
  for header in doctest fmt Eigen nlohmann; do
    [[ ! -d $place/$header ]] || mount --bind "$folder/empty" "$place/$header"
  done
  for header in xxhash.h pcre2.h utf8proc.h; do
    [[ ! -e $place/$header ]] || mount --bind /dev/null "$place/$header"
  done
done
compile=(g++ -std=c++20 -fsyntax-only -fopenmp -DMODERNGPT2_CUDA_SIMULATED=1 -DFMT_HEADER_ONLY=1 -DXXH_INLINE_ALL=1
  -Iinclude -Itests)
sources=(tests/main.cpp tests/backend/cuda/rotary_test.cpp examples/golden_check/gpu.cpp)
for source in "${sources[@]}"; do
  if "${compile[@]}" "$source" 2>/dev/null; then
    echo "$source compiles without the bundle: the system's copies are not hidden" && exit 1
  fi
done
if grep -v -E '^ *lo:|\|' /proc/net/dev; then
  echo "there is a network" && exit 1
fi
"${compile[@]}" -isystem "$MODERNGPT2_GPU_FOLDER/include" "${sources[@]}"
echo "the bundle's headers are enough"
if command -v nvcc >/dev/null; then
  cuda=$(dirname "$(readlink -f "$(command -v nvcc)")")/../include
  for source in tests/backend/cuda/*_test.cpp; do
    grep -q check_cuda_case "$source" || continue  # the others are of the simulated GPU
    g++ -std=c++20 -E -P -DFMT_HEADER_ONLY=1 -DXXH_INLINE_ALL=1 -Iinclude -Itests \
      -isystem "$MODERNGPT2_GPU_FOLDER/include" -isystem "$cuda" "$source" >"$folder/source.ii"
    if grep -m1 -E '\bsimt::|\b(gzopen|inflateInit|ZSTD_|YAML::)' "$folder/source.ii"; then
      echo "$source needs the simulated GPU, or a library that the bundle does not have" && exit 1
    fi
  done
  bash tests/run_gpu.sh "$folder/results"
  [[ $(find "$folder/results" -type f | wc -l) -le 8 ]] || { echo "more than 8 files of results" && exit 1; }
fi
