#!/usr/bin/env bash
# Compiles each file on its own, without output, warnings being errors. A header is included twice by an empty file.
#
#   check_syntax.sh COMPILER FLAGS_FILE FILE...
#
# A file that stops at a third-party header which this machine lacks is skipped and named.
set -uo pipefail

compiler=$1
flags_file=$2
shift 2

check_file() {
  local compiler=$1 flags_file=$2 file=$3 output optional
  local -a command=("$compiler" -std=c++20 -fopenmp -Wall -Wextra -Werror -fsyntax-only "@$flags_file" -x c++)
  case "$file" in
    *.cpp) output=$("${command[@]}" "$file" 2>&1) && return 0 ;;
    *) output=$(printf '#include "%s"\n#include "%s"\n' "$file" "$file" | "${command[@]}" - 2>&1) && return 0 ;;
  esac
  optional='(arrow|parquet|CLI|yaml-cpp|sentencepiece[a-z_]*\.h|dnnl\.hpp|mpi\.h|cuda[a-z_]*\.h|nccl\.h)'
  if grep -Eq "fatal error: '?$optional.*(No such file|file not found)" <<<"$output"; then
    echo "skipped $file: $(grep -Eom1 "${optional}[^' :]*" <<<"$output") is not installed"
    return 0
  fi
  echo "$compiler: $file does not compile alone:"
  head -n 40 <<<"$output"
  return 1
}
export -f check_file

# shellcheck disable=SC2016
printf '%s\0' "$@" |
  xargs -0 -n 1 -P "$(nproc)" bash -c 'check_file "$@"' check_file "$compiler" "$flags_file" || exit 1
echo "$compiler: $# files compile alone"
