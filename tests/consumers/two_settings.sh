#!/usr/bin/env bash
# Links source files of one program that were compiled with different flags. A model or backend that one passes to the
# other must be an undefined reference; with the same flags the program must run.
#
#   two_settings.sh COMPILER FLAGS_FILE LIBRARY...
#
# FLAGS_FILE: flags that find the headers. LIBRARY: fmt, xxHash and, if available, oneDNN.
set -euo pipefail

compiler=$1
flags_file=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)/two_settings
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

fail() {
  echo "two_settings: $*" >&2
  exit 1
}

# compile OBJECT SOURCE FLAG...
compile() {
  local object=$1 source=$2
  shift 2
  "$compiler" -std=c++20 "@$flags_file" -UMODERNGPT2_HAVE_ONEDNN -DMODERNGPT2_ALLOW_O0 "$@" -c "$here/$source" -o "$object"
}

# mixed FIRST SECOND NAME LIBRARY...: the link must fail on an undefined reference that contains NAME, the inline
# namespace of SECOND.
mixed() {
  local first=$1 second=$2 name=$3
  shift 3
  if "$compiler" -fopenmp "$first" "$second" "$@" -o mixed >log 2>&1; then fail "$first and $second link"; fi
  grep -qE "undefined .*$name" log || fail "$first and $second: the linker does not name $name: $(cat log)"
  echo "$first, $second: $(grep -oE -m 1 "undefined .*" log | cut -c 1-80) ..."
}

# same FIRST SECOND LIBRARY...: the program must link and run.
same() {
  local objects=("$1" "$2")
  shift 2
  "$compiler" -fopenmp "${objects[@]}" "$@" -o same
  ./same || fail "${objects[*]}: the program fails"
}

machine=()
wide=()
case $(uname -m) in
  x86_64)
    machine=(-march=x86-64)
    wide=(-march=x86-64-v3)
    ;;
esac
compile one.o backend.cpp -fopenmp "${machine[@]}"
compile two.o backend.cpp -fopenmp "${machine[@]}" -DMAIN
same one.o two.o "$@"
compile serial.o backend.cpp "${machine[@]}" -DMAIN
mixed one.o serial.o eigen_serial "$@"
compile serial_one.o backend.cpp "${machine[@]}"
same serial_one.o serial.o "$@"
if [ ${#wide[@]} -gt 0 ]; then
  compile wide.o backend.cpp -fopenmp "${wide[@]}" -DMAIN
  mixed one.o wide.o lanes8 "$@"
fi

case "$*" in
  *dnnl*)
    compile eigen.o main.cpp -fopenmp "${machine[@]}"
    compile onednn.o main.cpp -fopenmp "${machine[@]}" -DMODERNGPT2_HAVE_ONEDNN=1
    compile model.o model.cpp -fopenmp "${machine[@]}" -DMODERNGPT2_HAVE_ONEDNN=1
    mixed model.o eigen.o eigen_openmp "$@"
    same model.o onednn.o "$@"
    ;;
esac
