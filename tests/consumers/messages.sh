#!/usr/bin/env bash
# Checks that a header whose component is not linked says which target to add. Libraries in the compiler's own folders
# cannot be hidden; tests/headers/check_needs.py checks their messages.
#
#   messages.sh COMPILER EIGEN_FOLDER
set -euo pipefail

compiler=$1
flags=(-std=c++20 -DMODERNGPT2_ALLOW_O0 "-I$(cd "$(dirname "$0")" && pwd)/../../include" -isystem "$2")
checked=0

# message TARGET LIBRARY_HEADER HEADER FLAG...
message() {
  local target=$1 library=$2 header=$3
  shift 3
  if printf '#if !__has_include(<%s>)\n#error missing\n#endif\n' "$library" | "$compiler" -E -x c++ - >/dev/null 2>&1; then
    echo "$library is in a folder of $compiler"
    return
  fi
  if said=$(echo "#include <$header>" | "$compiler" "${flags[@]}" "$@" -fsyntax-only -x c++ - 2>&1); then
    echo "$header compiles without $library"
    exit 1
  fi
  grep -m 1 "error" <<<"$said" | grep -F "moderngpt2: " | grep -F "$library" | grep -F "$target" || {
    echo "$header: the first error does not name $target: $said"
    exit 1
  }
  checked=$((checked + 1))
}

message moderngpt2::data arrow/api.h moderngpt2/data/parquet_reader.hpp -DMODERNGPT2_HAVE_PARQUET=1
message moderngpt2::mpi mpi.h moderngpt2/distributed/mpi.hpp
message moderngpt2::cuda cuda.h moderngpt2/backend/cuda.hpp
flags=("${flags[@]:0:3}")
message moderngpt2::moderngpt2 Eigen/Core moderngpt2/backend/cpu/gemm.hpp
[ "$checked" -gt 0 ]
