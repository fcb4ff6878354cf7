#!/usr/bin/env bash
# Builds the programs as on a machine that lacks optional dependencies. See --help.
set -euo pipefail

usage() {
  cat <<'TEXT'
Configures the project with dependencies hidden, checks which programs are left out, compiles train and generate (those
that remain, otherwise custom_layer) without optimization, and runs them.

Usage: tests/absent/check.sh BUILD_FOLDER [all|each|NAME...]

  BUILD_FOLDER   folder for the builds, with a subfolder for each
  NAME           hides one dependency: ccache cli clang cuda cudnn data mpi nccl onednn parquet python tests
                 tokenizer_training
  each           hides every NAME, one at a time
  all            hides at once all dependencies that train and generate do not need (default)

nccl and cudnn are hidden in a build with CUDA, which is skipped if nvcc is not installed.
TEXT
}

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
names=(ccache cli clang cuda cudnn data mpi nccl onednn parquet python tests tokenizer_training)
jobs=${JOBS:-$(nproc)}

fail() {
  echo "absent: error: $*" >&2
  exit 1
}

# hide NAME: prints the CMake arguments that hide a dependency. An empty cache entry keeps find_path() and
# find_program() from searching.
hide() {
  case $1 in
    ccache) echo -DMODERNGPT2_CCACHE= ;;
    clang) echo -DMODERNGPT2_CLANG= ;;
    cli) echo -DCMAKE_DISABLE_FIND_PACKAGE_CLI11=ON ;;
    cuda) echo -DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON ;;
    cudnn) echo -DMODERNGPT2_CUDNN_INCLUDE_DIR= -DMODERNGPT2_CUDNN_LIBRARY= -DMODERNGPT2_CUDNN_FRONTEND_DIR= ;;
    data) echo -DCMAKE_DISABLE_FIND_PACKAGE_yaml-cpp=ON ;;
    mpi) echo -DMPI_EXECUTABLE_SUFFIX=-hidden -DPKG_CONFIG_EXECUTABLE= ;;
    nccl) echo -DMODERNGPT2_NCCL_INCLUDE_DIR= ;;
    onednn) echo -DMODERNGPT2_moderngpt2__onednn_INCLUDE_DIR= ;;
    parquet) echo -DCMAKE_DISABLE_FIND_PACKAGE_Arrow=ON -DCMAKE_DISABLE_FIND_PACKAGE_Parquet=ON ;;
    python) echo -DMODERNGPT2_PYTHON= ;;
    tests) echo -DCMAKE_DISABLE_FIND_PACKAGE_doctest=ON -DCMAKE_DISABLE_FIND_PACKAGE_benchmark=ON ;;
    tokenizer_training) echo -DMODERNGPT2_moderngpt2__sentencepiece_INCLUDE_DIR= ;;
    *) fail "unknown dependency $1: see --help" ;;
  esac
}

# left_out NAME: prints the files of examples/ that cannot be built without a dependency. docs/building.md lists the
# programs among them.
left_out() {
  case $1 in
    cli) echo convert_checkpoint convert_tokenizer generate golden_check make_dialogues make_stories plot_loss \
      pretokenize_dataset pretrain train train_on_text train_tokenizer ;;
    data) echo custom_optimizer make_dialogues make_stories pretokenize_dataset pretrain train train_tokenizer ;;
    mpi) echo train/mpi ;;
    parquet) echo pretokenize_dataset pretrain ;;
    tokenizer_training) echo pretrain train_tokenizer ;;
  esac
}

# row NAME: prints the name of a dependency in the table at the end of the configuration, or nothing if it has no row.
row() {
  case $1 in
    ccache) echo ccache ;;
    cli) echo CLI11 ;;
    cuda) echo CUDA ;;
    data) echo zlib, zstd, yaml-cpp ;;
    mpi) echo MPI ;;
    nccl) echo NCCL ;;
    onednn) echo oneDNN ;;
    parquet) echo Parquet ;;
    tokenizer_training) echo sentencepiece ;;
  esac
}

quietly() {
  local log=$1
  shift
  "$@" >"$log" 2>&1 && return 0
  tail -n 30 "$log" >&2
  fail "$label: $* failed; all of its output is in $log"
}

# must_say STATUS TEXT COMMAND...: checks the command's exit status and that its standard error contains TEXT.
must_say() {
  local status=$1 text=$2 said got=0
  shift 2
  said=$("$@" 2>&1 >/dev/null) || got=$?
  [ "$got" = "$status" ] || fail "$label: $* ended with status $got instead of $status: $said"
  said=$(tr -s ' \n' '  ' <<<"$said") # CMake wraps its messages
  [[ $said == *"$text"* ]] || fail "$label: $* printed '$said' instead of '$text'"
}

# check LABEL NAME...: builds and runs the programs with these dependencies hidden.
check() {
  label=$1
  shift
  local folder=$builds/$label flags=() missing_list=() missing name title
  local hidden=" $* "
  for name in "$@"; do
    # shellcheck disable=SC2207
    flags+=($(hide "$name"))
    # shellcheck disable=SC2207
    missing_list+=($(left_out "$name"))
  done
  if [[ $hidden == *" nccl "* || $hidden == *" cudnn "* ]]; then
    command -v nvcc >/dev/null || {
      echo "absent: $label: skipped, nvcc is not installed"
      return 0
    }
    flags+=(-DMODERNGPT2_CUDA=ON -DMODERNGPT2_CUDA_ARCHITECTURES=90)
    folder=$builds/with_cuda # one folder for nccl and cudnn: the kernels are the same
  fi
  if [[ $hidden == " clang " || $hidden == " python " ]]; then
    flags+=(-DMODERNGPT2_BUILD_TESTS=ON)
  fi
  mkdir -p "$folder"
  rm -f "$folder/CMakeCache.txt"
  # CMake looks for the pyarrow wheel in the cache folder: a build without Parquet gets an empty one.
  local environment=()
  [[ $hidden != *" parquet "* ]] || environment=(XDG_CACHE_HOME="$folder/no_cache" CCACHE_DIR="$ccache")
  quietly "$folder/configure.txt" env ${environment[@]+"${environment[@]}"} cmake -S "$root" -B "$folder" \
    -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0 -DMODERNGPT2_WERROR=ON "${flags[@]}"

  for name in "$@"; do
    title=$(row "$name")
    [ -z "$title" ] || grep -qE "^--   $title +no " "$folder/configure.txt" ||
      fail "$label: the table in $folder/configure.txt does not say that $title is absent"
  done
  local said
  said=$(sed -n 's|^-- moderngpt2: examples/\(.*\)\.cpp is left out.*|\1|p' "$folder/configure.txt" | sort -u |
    tr '\n' ' ')
  missing=$(printf '%s\n' ${missing_list[@]+"${missing_list[@]}"} | sort -u | tr '\n' ' ')
  [ "${said// /}" = "${missing// /}" ] || fail "$label: left out: '$said', expected: '$missing'"

  if [[ $hidden == *" tests "* ]]; then
    must_say 1 "MODERNGPT2_BUILD_TESTS needs doctest" cmake -S "$root" -B "$folder/tests" -DMODERNGPT2_BUILD_TESTS=ON \
      "${flags[@]}"
    must_say 1 "MODERNGPT2_BUILD_BENCHMARKS needs Google Benchmark" cmake -S "$root" -B "$folder/benchmarks" \
      -DMODERNGPT2_BUILD_BENCHMARKS=ON "${flags[@]}"
  fi
  if [[ $hidden == *" cudnn "* ]]; then
    must_say 1 "MODERNGPT2_CUDNN is ON" cmake -S "$root" -B "$folder/cudnn" -DMODERNGPT2_CUDNN=ON "${flags[@]}"
  fi
  local targets=()
  for name in train generate; do
    [[ " $missing " == *" $name "* ]] || targets+=("$name")
  done
  [ ${#targets[@]} -gt 0 ] || targets=(custom_layer)
  quietly "$folder/build.txt" cmake --build "$folder" --parallel "$jobs" --target "${targets[@]}"

  for name in "${targets[@]}"; do
    if [ "$name" = custom_layer ]; then
      quietly "$folder/run.txt" "$folder/bin/$name"
    else
      quietly "$folder/run.txt" "$folder/bin/$name" --version
    fi
  done
  if [[ $hidden == *" parquet "* && -x $folder/bin/train ]]; then
    touch "$folder/shard_00000.parquet"
    must_say 1 "was built without Parquet" "$folder/bin/train" --dry_run --pre_tokenized_dataset_path "$folder" \
      --tokenizer_path "$root/tests/data/tokenizer/bpe"
  fi
  if [[ $hidden == *" mpi "* && -x $folder/bin/train ]]; then
    must_say 2 "was built without MPI" env OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0 "$folder/bin/train" --dry_run
  fi
  echo "absent: $label: ${targets[*]} link and run ($SECONDS s so far)"
}

case ${1:-} in
  --help | -h)
    usage
    exit 0
    ;;
  "" | -*)
    usage >&2
    exit 2
    ;;
esac
folder=$1
shift
[ $# -gt 0 ] || set -- all
for what in "$@"; do # before any of them is built
  [[ " all each ${names[*]} " == *" $what "* ]] || fail "there is no dependency $what: see --help"
done
{ mkdir -p "$folder" && [ -w "$folder" ]; } || fail "cannot write to $folder. Name a build folder where you may write."
builds=$(cd "$folder" && pwd)
HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
export HOME
ccache=${CCACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ccache}
for what in "$@"; do
  case $what in
    all) check all clang cuda mpi onednn parquet python tests tokenizer_training ;;
    each) for name in "${names[@]}"; do check "$name" "$name"; done ;;
    *) check "$what" "$what" ;;
  esac
done
