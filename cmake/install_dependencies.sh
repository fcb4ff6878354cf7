#!/usr/bin/env bash
# Installs the dependencies of ModernGPT2 on Debian 12 or Ubuntu 24.04, as root or with sudo. Fast if they are
# installed.
#
#   cmake/install_dependencies.sh [--tests | --all-tests | --without-packages] [--wheel-folder DIR]
#
#   --tests             also what tests/run.sh needs
#   --all-tests         also what tests/run.sh --all needs: packages for sanitizers, benchmarks, packaging; headers of
#                       CUDA 12.1 (downloads 700 MB of wheels, once) and of cudnn-frontend (for MODERNGPT2_CUDNN=ON)
#   --without-packages  only the pyarrow wheel: no packages, no root (examples/jobs/build_*.sh build the rest)
#   --wheel-folder DIR  where the pyarrow wheel (C++ libraries of Arrow and Parquet) is unpacked; the default,
#                       ${XDG_CACHE_HOME:-~/.cache}/moderngpt2/pyarrow-VERSION, is where CMake looks by itself.
#                       For another folder, configure with -DMODERNGPT2_PYARROW_DIR=DIR.
set -euo pipefail

pyarrow_version=26.0.1 # cmake/Moderngpt2ArrowParquet.cmake names the same one
pyarrow_sha256_x86_64=39cb0f2418282c24bea6ceda77b03e5a8f0a5766b63a8bf194d4e2a2c423548c

# Headers of an early CUDA 12, to check that no later function is called. tests/backend/cuda/CMakeLists.txt names the
# folder.
cuda12_folder=cuda-12.1-headers
cuda12_wheels=(
  nvidia-cuda-runtime-cu12==12.1.105 6e258468ddf5796e25f1dc591a31029fa317d97a0a94ed93468fc86301d61e40
  nvidia-cublas-cu12==12.1.3.1 ee53ccca76a6fc08fb9701aa95b6ceb242cdaab118c3bb152af4e579af792728
  nvidia-nccl-cu12==2.18.1 1a6c4acefcbebfa6de320f412bf7866de856e786e0462326ba1bac40de0b5e71
  nvidia-cuda-nvcc-cu12==12.1.105 a0712a05ffd57d9f017580ffcc808b207f7f4ef7a5ca8ac1312318b153739a18
  nvidia-cuda-cccl-cu12==12.9.27 37869e17ce2e1ecec6eddf1927cca0f8c34e64fd848d40453df559091e2d7117
)

# Headers only, equal for all processors and Python versions. cmake/Moderngpt2Cuda.cmake names the same version.
cudnn_frontend_version=1.32.0
cudnn_frontend_sha256=c6006556017a4d1c914c52a556c71b1267f2d6a0500f742e7b4edef539878df0

packages=(
  g++ make cmake ninja-build python3
  libeigen3-dev libfmt-dev nlohmann-json3-dev libxxhash-dev libpcre2-dev libutf8proc-dev libdnnl-dev
  libyaml-cpp-dev zlib1g-dev libzstd-dev
  libsentencepiece-dev libcli11-dev
)
test_packages=(
  clang-16 libomp-16-dev ccache doctest-dev libopenmpi-dev openmpi-bin pkg-config procps shellcheck
)
all_test_packages=(libclang-rt-16-dev clang-tidy-16 libbenchmark-dev dpkg-dev debootstrap)

say() { echo "install_dependencies: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

wheel_folder=
all_tests=
with_packages=yes
while [ $# -gt 0 ]; do
  case "$1" in
    --tests) packages+=("${test_packages[@]}") ;;
    --all-tests)
      packages+=("${test_packages[@]}" "${all_test_packages[@]}")
      all_tests=yes
      ;;
    --without-packages) with_packages= ;;
    --wheel-folder)
      [ $# -ge 2 ] || fail "--wheel-folder needs a folder"
      wheel_folder=$2
      shift
      ;;
    --help | -h)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) fail "unknown option $1 (expected --tests, --all-tests, --without-packages or --wheel-folder DIR)" ;;
  esac
  shift
done

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "root rights are needed for: $*"
  fi
}

retry() {
  local attempt
  for attempt in 1 2 3 4; do
    "$@" && return 0
    say "attempt $attempt failed: $*"
    sleep $((attempt * 3))
  done
  return 1
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

install_packages() {
  local missing=() package
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || fail "there is no apt-get here; install these by other means: ${missing[*]}"
  say "installing ${missing[*]}"
  retry as_root apt-get -q update || fail "apt-get update failed"
  for package in "${missing[@]}"; do
    [ -n "$(apt-cache madison "$package")" ] ||
      fail "this system's package lists have no $package (served are Debian 12 and Ubuntu 24.04, universe included)"
  done
  retry as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}" ||
    fail "apt-get install failed"
}

# Finds a python3 with pip: the first on the path, else the system's.
find_pip() {
  local python
  for python in python3 /usr/bin/python3; do
    if "$python" -m pip --version >/dev/null 2>&1; then
      echo "$python"
      return 0
    fi
  done
  return 1
}

# unpack WHEEL FOLDER START...: unpacks the files of a wheel whose names begin with START, and its licences.
unpack() {
  python3 - "$@" <<'PYTHON'
import re, sys, zipfile
wheel, folder, *starts = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    wanted = re.compile("|".join(starts)).match
    archive.extractall(folder, [n for n in archive.namelist() if wanted(n) or "dist-info/licenses/" in n])
PYTHON
}

# fetch FOLDER NAME==VERSION SHA256 PIP_FLAG...: downloads with pip and sets `wheel`. An empty checksum accepts any.
fetch() {
  local folder=$1 what=$2 sum=$3
  python=$(find_pip) || {
    [ -n "$with_packages" ] || fail "python3 has no pip: load a module of Python"
    install_packages python3-pip
    python=$(find_pip) || fail "python3 has no pip"
  }
  retry "$python" -m pip -q --disable-pip-version-check download --no-cache-dir --no-deps --only-binary=:all: "${@:4}" \
    --dest "$folder" "$what" || fail "pip could not download $what"
  wheel=$(compgen -G "$folder/*.whl") || fail "pip downloaded no wheel"
  if [ -n "$sum" ]; then
    echo "$sum  $wheel" | sha256sum --quiet -c - >&2 || fail "$wheel is not the file that was expected"
  fi
}

# Temporary folder beside the target, moved there once it is complete.
make_scratch() {
  mkdir -p "$(dirname "$1")" || fail "cannot make the folder of $1: set XDG_CACHE_HOME to a writable folder"
  scratch=$(mktemp -d "$1.XXXXXX") || fail "cannot write beside $1: set XDG_CACHE_HOME to a writable folder"
  # shellcheck disable=SC2064
  trap "rm -rf '$scratch'" EXIT
}
finish_scratch() {
  chmod 755 "$scratch/unpacked"
  rm -rf "$1"
  mv "$scratch/unpacked" "$1"
  rm -rf "$scratch"
}

# Only the C++ part of the wheel: headers and two shared libraries.
install_pyarrow() {
  local folder=$1 machine sum=
  compgen -G "$folder/pyarrow/libparquet.so.*" >/dev/null && compgen -G "$folder/pyarrow/libarrow.so.*" >/dev/null &&
    [ -e "$folder/pyarrow/include/arrow/config.h" ] && return 0
  machine=$(uname -m)
  [ "$machine" = x86_64 ] && sum=$pyarrow_sha256_x86_64
  make_scratch "$folder"
  say "unpacking pyarrow $pyarrow_version into $folder"
  # Wheel for a fixed Python version: the C++ libraries inside do not depend on the machine's Python.
  fetch "$scratch" "pyarrow==$pyarrow_version" "$sum" --implementation cp --python-version 3.11 --abi cp311 \
    --platform "manylinux_2_28_$machine"
  unpack "$wheel" "$scratch/unpacked" pyarrow/include/ 'pyarrow/libarrow[.]so[.]' 'pyarrow/libparquet[.]so[.]'
  finish_scratch "$folder"
}

# Headers of the CUDA 12.1 runtime, cuBLAS and NCCL, and headers that they include: crt/ from the wheel of nvcc, and
# nv/target from the wheel of CCCL 12.9, because no wheel of 12.1 contains it. Equal for all processors.
install_cuda12_headers() {
  local folder=$1 i
  [ -e "$folder/nvidia/cuda_cccl/include/nv/target" ] && return 0
  make_scratch "$folder"
  say "unpacking CUDA 12's headers into $folder"
  for ((i = 0; i < ${#cuda12_wheels[@]}; i += 2)); do
    fetch "$scratch" "${cuda12_wheels[i]}" "${cuda12_wheels[i + 1]}" --implementation py --python-version 3 --abi none \
      --platform manylinux1_x86_64 --platform manylinux2014_x86_64
    unpack "$wheel" "$scratch/unpacked" 'nvidia/[a-z_]*/include/' || fail "$wheel could not be unpacked"
    rm "$wheel"
  done
  finish_scratch "$folder"
}

install_cudnn_frontend() {
  local folder=$1
  [ -d "$folder" ] && return 0
  make_scratch "$folder"
  say "unpacking cudnn-frontend $cudnn_frontend_version into $folder"
  fetch "$scratch" "nvidia-cudnn-frontend==$cudnn_frontend_version" "$cudnn_frontend_sha256" --implementation cp \
    --python-version 3.11 --abi cp311 --platform manylinux_2_28_x86_64
  unpack "$wheel" "$scratch/unpacked" include/ || fail "$wheel could not be unpacked"
  finish_scratch "$folder"
}

owner=${SUDO_USER:-}
# With sudo, the cache is the one of the user who will build.
home=${HOME:-}
if [ -n "$owner" ] || [ -z "$home" ]; then
  home=$(getent passwd "${owner:-$(id -u)}" | cut -d: -f6)
fi
cache=${XDG_CACHE_HOME:-}
[[ $cache == /* ]] || cache=$home/.cache # by its specification, a relative XDG_CACHE_HOME is ignored
cache=$cache/moderngpt2
wheel_folder=${wheel_folder:-$cache/pyarrow-$pyarrow_version}

[ -z "$with_packages" ] || install_packages "${packages[@]}"
install_pyarrow "$wheel_folder"
folders=("$wheel_folder")
if [ -n "$all_tests" ]; then
  # Only one check needs these headers; it is skipped if they cannot be downloaded.
  if (install_cuda12_headers "$cache/$cuda12_folder"); then
    folders+=("$cache/$cuda12_folder")
  else
    say "going on without CUDA 12's headers: launchers will not be checked against them"
  fi
  if (install_cudnn_frontend "$cache/cudnn-frontend-$cudnn_frontend_version"); then
    folders+=("$cache/cudnn-frontend-$cudnn_frontend_version")
  else
    say "going on without cudnn-frontend: cuDNN's attention will not be checked"
  fi
fi
if [ -n "$owner" ] && [ "$(id -u)" = 0 ]; then
  for folder in "${folders[@]}"; do
    chown -R "$owner:" "$folder"
    chown "$owner:" "$(dirname "$folder")"
  done
fi
say "everything is installed (pyarrow in $wheel_folder)"
