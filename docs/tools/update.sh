#!/usr/bin/env bash
# Writes this folder's pages from the programs' tables of flags. With --check, only lists the pages that differ.
#
#   docs/tools/update.sh FOLDER_OF_PROGRAMS [--check]
set -euo pipefail

pages=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$(cd "$1" && pwd)
check=${2:-}
fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT

count=0
wrong=0
for source in "$pages"/../../examples/*.cpp; do
  name=$(basename "$source" .cpp)
  grep -q 'Options options(' "$source" || continue
  [ -x "$bin/$name" ] || continue # a package that it needs is not there
  "$bin/$name" --help_markdown >"$fresh"
  count=$((count + 1))
  if [ "$check" != --check ]; then
    cp "$fresh" "$pages/$name.md"
    chmod 644 "$pages/$name.md"
  elif ! diff -u "$pages/$name.md" "$fresh"; then
    wrong=$((wrong + 1))
  fi
done
for page in "$pages"/*.md; do
  name=$(basename "$page" .md)
  [ -e "$pages/../../examples/$name.cpp" ] && continue
  echo "docs/tools/$name.md is of no program: remove it"
  wrong=$((wrong + 1))
done
if [ "$count" = 0 ]; then
  echo "there are no programs in $bin" >&2
  exit 1
elif [ "$wrong" -gt 0 ]; then
  echo "$wrong pages differ from what their programs say: run docs/tools/update.sh $bin" >&2
  exit 1
fi
echo "$count pages"
