# Build for a cluster, without root. Sourced by build_*.sh, which call build_for_cluster.
#
#   bash examples/jobs/build_CLUSTER.sh [--dry_run] [--prefix DIR] [--jobs N]
#
#   --dry_run      print the commands and exit
#   --prefix DIR   folder for libraries that the cluster does not have (default: build/dependencies)
#   --jobs N       parallel compilations (default: 16)
#
# MODULES="cuda/12.9 openmpi/5.0.8 gcc/14" replaces the modules of the script. Run it from the root of the repository.

cluster=
modules=()
fail() {
  echo "build_$cluster: $*" >&2
  exit 1
}

# NAME REPOSITORY TAG CMAKE_FLAGS: what install_dependencies.sh takes from Debian. Built with the cluster's compiler, so
# that all parts have one ABI.
dependencies=(
  "fmt https://github.com/fmtlib/fmt 10.2.1 -DFMT_TEST=OFF -DBUILD_SHARED_LIBS=ON"
  "eigen https://gitlab.com/libeigen/eigen 3.4.0 -DBUILD_TESTING=OFF -DEIGEN_BUILD_DOC=OFF"
  "json https://github.com/nlohmann/json v3.11.3 -DJSON_BuildTests=OFF"
  "xxhash https://github.com/Cyan4973/xxHash v0.8.2 -DXXHASH_BUILD_XXHSUM=OFF"
  "pcre2 https://github.com/PCRE2Project/pcre2 pcre2-10.42 -DPCRE2_SUPPORT_JIT=ON -DPCRE2_BUILD_PCRE2GREP=OFF -DPCRE2_BUILD_TESTS=OFF -DBUILD_SHARED_LIBS=ON"
  "utf8proc https://github.com/JuliaStrings/utf8proc v2.8.0 -DBUILD_SHARED_LIBS=ON"
  "cli11 https://github.com/CLIUtils/CLI11 v2.4.2 -DCLI11_BUILD_TESTS=OFF -DCLI11_BUILD_EXAMPLES=OFF"
  "yaml-cpp https://github.com/jbeder/yaml-cpp 0.8.0 -DYAML_CPP_BUILD_TESTS=OFF -DYAML_BUILD_SHARED_LIBS=ON"
  "zlib https://github.com/madler/zlib v1.3.1"
  "zstd https://github.com/facebook/zstd v1.5.6 -DZSTD_BUILD_PROGRAMS=OFF"
  "sentencepiece https://github.com/google/sentencepiece v0.2.0"
  "onednn https://github.com/oneapi-src/oneDNN v3.5.3 -DDNNL_BUILD_TESTS=OFF -DDNNL_BUILD_EXAMPLES=OFF"
)

# Prints a command, and runs it unless this is a dry run.
run() {
  echo "+ $*"
  [ -n "$dry_run" ] || "$@"
}

read_flags() {
  prefix=$PWD/build/dependencies jobs=16 dry_run=
  while [ $# -gt 0 ]; do
    case "$1" in
      --dry_run) dry_run=1 ;;
      --prefix | --jobs)
        [ $# -ge 2 ] || fail "$1 needs a value"
        if [ "$1" = --jobs ]; then jobs=$2; else prefix=$2; fi
        shift
        ;;
      --help | -h)
        sed -n '/^#   bash/,/^# MODULES/{s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
      *) fail "unknown option $1 (expected --dry_run, --prefix DIR or --jobs N)" ;;
    esac
    shift
  done
}

load_modules() {
  [ -z "$MODULES" ] || read -r -a modules <<<"$MODULES"
  if [ -z "$dry_run" ]; then
    [ -r /etc/profile.d/modules.sh ] || fail "no environment modules: run this script on $cluster"
    # shellcheck source=/dev/null
    source /etc/profile.d/modules.sh
  fi
  run module load "${modules[@]}"
}

check_tools() {
  local tool version
  for tool in git cmake g++ nvcc mpicxx; do
    command -v "$tool" >/dev/null || fail "$tool is missing: find its module with 'module avail' and add it to MODULES"
  done
  version=$(g++ -dumpversion)
  [ "${version%%.*}" -ge 12 ] ||
    fail "g++ $version is older than 12: find a newer module with 'module avail gcc' and add it to MODULES"
}

install_dependency() { # NAME REPOSITORY TAG CMAKE_FLAG...
  local name=$1 source=$prefix/source/$1 flags=("${@:4}") cmake_folder=
  [ ! -e "$prefix/$name-$3.installed" ] || return 0
  case $name in
    xxhash) cmake_folder=/cmake_unofficial ;;
    zstd) cmake_folder=/build/cmake ;;
  esac
  run rm -rf "$source" &&
    run git clone --quiet --depth 1 --branch "$3" "$2" "$source" &&
    run cmake -S "$source$cmake_folder" -B "$source/build-here" -DCMAKE_BUILD_TYPE=Release \
      -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_PREFIX_PATH="$prefix" "${flags[@]}" &&
    run cmake --build "$source/build-here" --parallel "$jobs" &&
    run cmake --install "$source/build-here" &&
    run touch "$prefix/$name-$3.installed"
}

# build_for_cluster CLUSTER GPU_ARCHITECTURES MODULES FLAG...: MODULES are separated by spaces.
build_for_cluster() {
  local dependency words architectures=$2
  cluster=$1
  read -r -a modules <<<"$3"
  read_flags "${@:4}"
  [ -r cmake/install_dependencies.sh ] || [ -n "$dry_run" ] || fail "run this script from the root of the repository"
  load_modules
  [ -n "$dry_run" ] || check_tools
  for dependency in "${dependencies[@]}"; do
    read -r -a words <<<"$dependency"
    install_dependency "${words[@]}" || fail "${words[0]} could not be built"
  done
  run cmake/install_dependencies.sh --without-packages || fail "pyarrow could not be downloaded"
  run cmake -S . -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$prefix" -DMODERNGPT2_MPI=ON \
    -DMODERNGPT2_CUDA=ON -DMODERNGPT2_CUDA_ARCHITECTURES="$architectures" -DCMAKE_BUILD_RPATH="$prefix/lib;$prefix/lib64"
  run cmake --build build --parallel "$jobs"
  echo "the programs are in build/bin; load the same modules to run them: ${modules[*]}"
}
