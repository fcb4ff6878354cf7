#!/usr/bin/env bash
# Builds the fuzz targets with clang-16 and runs each: run.sh [SECONDS] [NAME...]
#
#   SECONDS  time for each target (default 60); 0: only seeds and regressions
#   NAME     targets, such as json (default: all, NAME_fuzz.cpp in this folder)
#
# Inputs of regressions/NAME/ run first. A target ends at its first finding, whose input is written to
# fuzz_findings/NAME/ in the current folder. Exit status 1 with a finding. Needs clang-16 and libclang-rt-16-dev
# (cmake/install_dependencies.sh --all-tests).
#
# Environment: JOBS, targets at once (default: the number of processors); FUZZ_CORPUS, a folder in which the corpora are
# kept; FUZZ_BUILD, a folder in which the programs are kept.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
seconds=60
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
  seconds=$1
  shift
fi
names=("$@")
if [ ${#names[@]} = 0 ]; then
  for source in "$here"/*_fuzz.cpp; do names+=("$(basename "$source" _fuzz.cpp)"); done
fi
for name in "${names[@]}"; do
  [ -e "$here/${name}_fuzz.cpp" ] || {
    echo "run: error: no target '$name' in $here" >&2
    exit 2
  }
done
command -v clang++-16 >/dev/null || {
  echo "skipped: clang++-16 is not installed"
  exit 77
}

memory=/dev/shm
[ -w "$memory" ] || memory=${TMPDIR:-/tmp}
FUZZ_FOLDER=$(mktemp -d "$memory/moderngpt2-fuzz.XXXXXX")
export FUZZ_FOLDER
trap 'rm -rf "$FUZZ_FOLDER"' EXIT
export ARROW_DEFAULT_MEMORY_POOL=system # seen by AddressSanitizer
symbolizer=$(compgen -c llvm-symbolizer | head -n 1 || true) # names functions in reports, if installed
[ -z "$symbolizer" ] || export ASAN_SYMBOLIZER_PATH=${ASAN_SYMBOLIZER_PATH:-$(readlink -f "$(command -v "$symbolizer")")}
build=${FUZZ_BUILD:-$FUZZ_FOLDER/build}
mkdir -p "$build"

# shellcheck disable=SC2054 # the commas are the compiler's
flags=(-std=c++20 -O1 -g1 -Wall -Wextra -Werror -DFMT_SHARED "-DMODERNGPT2_TEST_DATA=\"$root/tests/data\""
  -fsanitize=fuzzer,address,undefined,float-cast-overflow -fno-sanitize-recover=all -I"$root/include" -I"$root/tests"
  -I"$here" -isystem /usr/include/eigen3)
# shellcheck disable=SC2054
libraries=(-Wl,--as-needed -lfmt -lxxhash -lpcre2-8 -lutf8proc -lz -lzstd -lyaml-cpp)
# Arrow: a package, or the pyarrow wheel that cmake/install_dependencies.sh unpacks.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/moderngpt2
arrow=$(compgen -G "${MODERNGPT2_PYARROW_DIR:-$cache/pyarrow-*}/pyarrow" | tail -n 1 || true)

# build_target NAME: exit status 77 if a library is missing.
build_target() {
  local extra=() link=("${libraries[@]}")
  if [[ $1 = parquet_* ]]; then
    [ -n "$arrow" ] || return 77
    # Arrow's classes have no type information for -fsanitize=vptr.
    extra=(-DMODERNGPT2_HAVE_PARQUET=1 -isystem "$arrow/include" -fno-sanitize=vptr)
    link+=("$arrow"/libparquet.so.* "$arrow"/libarrow.so.* "-Wl,-rpath,$arrow")
  fi
  clang++-16 "${flags[@]}" "${extra[@]}" "$here/$1_fuzz.cpp" -o "$build/$1" "${link[@]}"
}

# value KEY FILE: of libFuzzer's statistics.
value() { sed -n "s/^stat::$1: *//p" "$2" | tail -n 1; }

# run_target NAME: writes a row of the table.
run_target() {
  local name=$1 work=$FUZZ_FOLDER/$1 status=0 finding=none log=$FUZZ_FOLDER/$1.log
  local corpus=${FUZZ_CORPUS:+$FUZZ_CORPUS/$1}
  corpus=${corpus:-$work/corpus}
  local options=(-timeout=5 -rss_limit_mb=2560 -malloc_limit_mb=1024 "-artifact_prefix=$work/findings/")
  mkdir -p "$work/seeds" "$work/findings" "$corpus"
  build_target "$name" >"$log" 2>&1 || status=$?
  if [ "$status" = 0 ]; then
    if ! "$build/$name" "--seeds=$work/seeds" >>"$log" 2>&1; then
      finding="seeds: not written"
    elif [ -d "$here/regressions/$name" ] && ! "$build/$name" "${options[@]}" "$here/regressions/$name"/* >>"$log" 2>&1; then
      finding="regressions/$name"
    else
      [ ! -e "$work/dictionary" ] || options+=("-dict=$work/dictionary")
      local limit=(-max_total_time="$seconds")
      [ "$seconds" -gt 0 ] || limit=(-runs=0)
      "$build/$name" "${options[@]}" "${limit[@]}" -print_final_stats=1 "$corpus" "$work/seeds" >>"$log" 2>&1 || status=$?
      [ "$status" = 0 ] || finding="status $status"
      if compgen -G "$work/findings/*" >/dev/null; then
        mkdir -p "fuzz_findings/$name"
        cp "$work/findings"/* "fuzz_findings/$name/"
        finding=$(cd "$work/findings" && echo *)
      fi
    fi
  elif [ "$status" = 77 ]; then
    finding="skipped: Arrow is not installed"
  else
    finding="does not compile"
  fi
  local edges
  edges=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 | cut -d' ' -f2 || true)
  local inputs
  inputs=$(find "$corpus" -type f | wc -l)
  printf '%-24s %12s %8s %8s  %s\n' "$name" "$(value number_of_executed_units "$log")" "$edges" "$inputs" "$finding" \
    >"$FUZZ_FOLDER/$name.row"
  echo "== $name: $finding"
  if [ "$finding" != none ] && [[ $finding != skipped* ]]; then
    grep -vE '^#[0-9]+|NEW_FUNC|Dictionary|^INFO' "$log" | head -n 60
  fi
}

for name in "${names[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "${JOBS:-$(nproc)}" ]; do wait -n || true; done
  run_target "$name" &
done
wait

printf '\n%-24s %12s %8s %8s  %s\n' target executions edges corpus finding
for name in "${names[@]}"; do cat "$FUZZ_FOLDER/$name.row"; done
if grep -LE '  (none|skipped: .*)$' "$FUZZ_FOLDER"/*.row | grep -q .; then exit 1; fi
