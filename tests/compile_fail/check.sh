#!/usr/bin/env bash
# Checks that a program does not compile and that the error explains the reason.
#
#   check.sh COMPILER FLAGS_FILE FILE.cpp
#
# The first line of the file is "// error: REGEX" (extended). Without -DCONTROL, compilation must fail with output that
# matches. With -DCONTROL it must succeed, which shows that the planted fault is the only one.
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
