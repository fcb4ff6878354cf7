#!/usr/bin/env bash
# A program that must not compile, and whose error must say why.
#
#   check.sh COMPILER FLAGS_FILE FILE.cpp
#
# The file's first line is "// error: REGEX" (extended). Without -DCONTROL it must fail with output that matches;
# with it, it must compile, which shows that nothing but the planted fault is wrong with it.
set -uo pipefail

compiler=$1
flags_file=$2
file=$3

regex=$(sed -n '1s,^// error: ,,p' "$file")
[ -n "$regex" ] || {
  echo "$file: the first line is not // error: REGEX"
  exit 1
}
compile() { "$compiler" -std=c++20 -fopenmp -fsyntax-only "@$flags_file" "$@" "$file" 2>&1; }

if ! output=$(compile -DCONTROL); then
  echo "$file: does not compile even with -DCONTROL"
  head -n 40 <<<"$output"
  exit 1
fi
if output=$(compile); then
  echo "$file: compiles, and must not"
  exit 1
fi
if ! grep -Eq -- "$regex" <<<"$output"; then
  echo "$file: the compiler's message does not match: $regex"
  head -n 40 <<<"$output"
  exit 1
fi
