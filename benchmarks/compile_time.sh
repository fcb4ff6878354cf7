#!/usr/bin/env bash
# Compile time (user seconds) and peak memory (MiB) of the umbrella header alone, and of the umbrella header with one
# trained model whose shape is known at run time (dynamic) or at compile time (static). Then lists the five slowest
# headers among those that the umbrella header includes (own) and among those of other libraries and the standard
# library (other), each compiled alone with everything that it includes.
#
#   benchmarks/compile_time.sh [COMPILER...]        (default: g++ clang++-16)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
flags=(-std=c++20 -O2 -fopenmp -DMODERNGPT2_HAVE_ONEDNN=1 -I"$root/include")

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

# measure COMPILER ARGUMENT...: prints user seconds and MiB
measure() {
  /usr/bin/time -f '%U %M' -o "$folder/time" "$@"
  awk '{ printf "%.2f %d\n", $1, $2 / 1024 }' "$folder/time"
}

# slowest COMPILER TITLE: prints the rows of the five slowest headers on standard input ("NAME" or <NAME>, one a line)
slowest() {
  local header seconds mib
  while read -r header; do
    echo "#include $header" >"$folder/header.cpp"
    read -r seconds mib < <(measure "$1" "${flags[@]}" -fsyntax-only "$folder/header.cpp")
    echo "$seconds $mib $header"
  done | sort -rn | head -5 | while read -r seconds mib header; do
    printf '%-12s %-10s %10.1f %10d  %s\n' "$1" "$2" "$seconds" "$mib" "$header"
  done
}

[ $# -gt 0 ] || set -- g++ clang++-16
printf '%-12s %-10s %10s %10s\n' compiler file seconds MiB
for compiler in "$@"; do
  command -v "$compiler" >/dev/null || continue
  for file in umbrella dynamic static; do
    read -r seconds mib < <(measure "$compiler" "${flags[@]}" -c "$folder/$file.cpp" -o "$folder/out.o")
    printf '%-12s %-10s %10.1f %10d\n' "$compiler" "$file" "$seconds" "$mib"
  done
  "$compiler" "${flags[@]}" -MM "$folder/umbrella.cpp" | tr ' ' '\n' | grep "^$root/include/" >"$folder/own.txt"
  sed -n 's/^#include \(".*"\)/\1/p' "$root/include/moderngpt2/moderngpt2.hpp" | slowest "$compiler" own
  xargs sed -n 's/^ *# *include \(<[^>]*>\).*/\1/p' <"$folder/own.txt" | sort -u | while read -r header; do
    # Headers for other systems or builds do not compile here.
    if echo "#include $header" | "$compiler" "${flags[@]}" -E -x c++ - >/dev/null 2>&1; then echo "$header"; fi
  done | slowest "$compiler" other
done
