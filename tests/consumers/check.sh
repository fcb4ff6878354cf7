#!/usr/bin/env bash
# Builds and runs one of the projects that use the library, in a fresh folder.
#
#   check.sh find_package|compiled|add_subdirectory|fetch_content|version_0_1 BUILD_FOLDER COMPILER
set -euo pipefail

way=$1
build=$2
compiler=$3
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

arguments=(-DMODERNGPT2_SOURCE="$here/../..")
expected='a model of 3 layers'
case $way in version_0_1) expected='[0-9]+ parameters, loss 5\.[0-9]+, 8 new tokens' ;; esac
if [ "$way" = find_package ] || [ "$way" = compiled ] || [ "$way" = version_0_1 ]; then
  cmake --install "$build" --prefix "$scratch/prefix" --component development >/dev/null
  arguments=(-DCMAKE_PREFIX_PATH="$scratch/prefix")
fi
cmake -S "$here/$way" -B "$scratch/build" -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON \
  -Werror=dev "${arguments[@]}"
cmake --build "$scratch/build" 2>&1 | tee "$scratch/log"
said=$("$(find "$scratch/build" -name consumer -type f)")
echo "$said"
[[ $said =~ ^$expected$ ]]

# No build type is set here. g++ shows the note on -O0 also from system includes; clang does not.
if ! "$compiler" --version | grep -q clang && ! grep -q MODERNGPT2_ALLOW_O0 "$scratch/log"; then
  echo "$way: no note on compilation without optimization"
  exit 1
fi

# Flags of this project's own programs must not reach its consumers.
if grep -nE -e '-march|-Werror|-ffast-math|-fno-math-errno' "$scratch/build/compile_commands.json"; then
  echo "$way: a flag of this project's own programs reaches its consumer"
  exit 1
fi
