#!/usr/bin/env bash
# Time and memory that a compiler takes for the umbrella header alone, and for it with one model that is trained: of a
# shape known at run time (dynamic) and at compile time (static).
#
#   benchmarks/compile_time.sh [COMPILER...]        (default: g++ clang++-16)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/umbrella.cpp" <<'CPP'
#include "moderngpt2/moderngpt2.hpp"
CPP
cat >"$folder/dynamic.cpp" <<'CPP'
#include "moderngpt2/moderngpt2.hpp"
using namespace moderngpt2;
double step(const Config& config, const int* ids) {
  CausalLM<any_shape> model(config);
  model.initialize(1);
  auto work = model.workspace(1, 16, Mode::train);
  auto gradients = model.make_gradients();
  return model.loss_and_gradients(work, ids, {ids}, gradients, {.batch = 1, .time = 16});
}
CPP

sed 's/any_shape/small_shape/' "$folder/dynamic.cpp" >"$folder/static.cpp"

[ $# -gt 0 ] || set -- g++ clang++-16
printf '%-12s %-10s %10s %10s\n' compiler file seconds MiB
for compiler in "$@"; do
  command -v "$compiler" >/dev/null || continue
  for file in umbrella dynamic static; do
    /usr/bin/time -f '%U %M' -o "$folder/time" \
      "$compiler" -std=c++20 -O2 -fopenmp -DMODERNGPT2_HAVE_ONEDNN=1 -I"$root/include" -c "$folder/$file.cpp" -o "$folder/out.o"
    read -r seconds kib <"$folder/time"
    printf '%-12s %-10s %10.1f %10d\n' "$compiler" "$file" "$seconds" $((kib / 1024))
  done
done
