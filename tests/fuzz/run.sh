#!/usr/bin/env bash
# Builds each fuzz target with clang-16 and runs it: run.sh [SECONDS]. Needs clang-16 and libclang-rt-16-dev. Inputs
# that fail are written to the current folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
seconds=${1:-60}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for source in "$here"/*_fuzz.cpp; do
  name=$(basename "$source" .cpp)
  echo "== $name"
  clang++-16 -std=c++20 -O1 -g1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
    -I"$here/../../include" "$source" -o "$work/$name" -lfmt
  mkdir "$work/seeds"
  number=0
  for seed in "$here"/../data/golden/*/*.json; do cp "$seed" "$work/seeds/$((number += 1))"; done
  for file in "$here"/../data/golden/*/model.safetensors; do
    # Seed: the beginning of a header. Mutations find the rest.
    head -c 4000 "$file" | tail -c +9 > "$work/seeds/$((number += 1))"
  done
  printf '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}\x09\x00' \
    > "$work/seeds/$((number += 1))"
  "$work/$name" -max_total_time="$seconds" -max_len=4096 -verbosity=0 -print_final_stats=1 "$work/seeds"
  rm -r "$work/seeds"
done
