#!/usr/bin/env bash
# Checks that a program does not compile and that the error explains the reason.
#
#   check.sh COMPILER FLAGS_FILE FILE.cpp
#
# The first lines of the file are "// error: REGEX" (extended). Without -DCONTROL, compilation must fail with output
# that matches each of them. With -DCONTROL it must succeed, which shows that the planted faults are the only ones.
set -uo pipefail

compiler=$1
flags_file=$2
file=$3

mapfile -t regexes < <(sed -n -e '/^\/\/ error: /!q' -e 's,^// error: ,,p' "$file")
[ "${#regexes[@]}" -gt 0 ] || {
  echo "$file: the first line is not // error: REGEX"
  exit 1
}
all_errors=()
case $compiler in *clang*) all_errors=(-ferror-limit=0) ;; esac
compile() { "$compiler" -std=c++20 -fopenmp -fsyntax-only "${all_errors[@]}" "@$flags_file" "$@" "$file" 2>&1; }

if ! output=$(compile -DCONTROL); then
  echo "$file: does not compile even with -DCONTROL"
  head -n 40 <<<"$output"
  exit 1
fi
if output=$(compile); then
  echo "$file: compiles, and must not"
  exit 1
fi
for regex in "${regexes[@]}"; do
  if ! grep -Eq -- "$regex" <<<"$output"; then
    echo "$file: the compiler's messages do not match: $regex"
    head -n 40 <<<"$output"
    exit 1
  fi
done
