#!/usr/bin/env bash
# Installs what ModernGPT2 needs on Debian 12 or Ubuntu 24.04, as root or through sudo. Quick when all is there.
#
#   cmake/install_dependencies.sh [--tests] [--wheel-folder DIR]
#
#   --tests             also what the tests, the sanitizer builds and the benchmarks need
#   --wheel-folder DIR  where the pyarrow wheel (C++ libraries of Arrow and Parquet) is unpacked; the default,
#                       ${XDG_CACHE_HOME:-~/.cache}/moderngpt2/pyarrow-VERSION, is where CMake looks by itself.
#                       For another folder, configure with -DMODERNGPT2_PYARROW_DIR=DIR.
set -euo pipefail

pyarrow_version=26.0.1 # cmake/Moderngpt2ArrowParquet.cmake names the same one
pyarrow_sha256_x86_64=39cb0f2418282c24bea6ceda77b03e5a8f0a5766b63a8bf194d4e2a2c423548c

packages=(
  g++ make cmake ninja-build python3
  libeigen3-dev libfmt-dev nlohmann-json3-dev libxxhash-dev libdnnl-dev
  libyaml-cpp-dev zlib1g-dev libzstd-dev
  libsentencepiece-dev libcli11-dev
)
test_packages=(
  clang-16 libclang-rt-16-dev libomp-16-dev ccache doctest-dev libbenchmark-dev
  libopenmpi-dev openmpi-bin shellcheck
)

say() { echo "install_dependencies: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

wheel_folder=
while [ $# -gt 0 ]; do
  case "$1" in
    --tests) packages+=("${test_packages[@]}") ;;
    --wheel-folder)
      [ $# -ge 2 ] || fail "--wheel-folder needs a folder"
      wheel_folder=$2
      shift
      ;;
    *) fail "unknown option $1 (there are --tests and --wheel-folder DIR)" ;;
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

# A python3 that has pip: the first on the path, or the system's own when that one lacks it.
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

# Only the C++ half of the wheel: headers, two shared libraries, licences.
unpack_wheel() {
  python3 - "$1" "$2" <<'PYTHON'
import sys, zipfile
wheel, folder = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    keep = ("pyarrow/include/", "pyarrow/libarrow.so.", "pyarrow/libparquet.so.")
    archive.extractall(folder, [n for n in archive.namelist() if n.startswith(keep) or "dist-info/licenses/" in n])
PYTHON
}

install_wheel() {
  local folder=$1 python machine scratch wheel
  compgen -G "$folder/pyarrow/libparquet.so.*" >/dev/null && return 0
  python=$(find_pip) || {
    install_packages python3-pip
    python=$(find_pip) || fail "python3 has no pip"
  }
  machine=$(uname -m)
  mkdir -p "$(dirname "$folder")" || fail "cannot make the folder of $folder"
  scratch=$(mktemp -d "$folder.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$scratch'" EXIT
  say "unpacking pyarrow $pyarrow_version into $folder"
  # The same wheel whatever this machine's Python is: the C++ libraries inside do not depend on it.
  retry "$python" -m pip -q --disable-pip-version-check download --no-deps --only-binary=:all: \
    --implementation cp --python-version 3.11 --abi cp311 --platform "manylinux_2_28_$machine" \
    --dest "$scratch" "pyarrow==$pyarrow_version" || fail "pip could not download pyarrow $pyarrow_version"
  wheel=$(compgen -G "$scratch/*.whl") || fail "pip downloaded no wheel"
  if [ "$machine" = x86_64 ]; then
    echo "$pyarrow_sha256_x86_64  $wheel" | sha256sum --quiet -c - >&2 || fail "$wheel is not the file that was expected"
  fi
  unpack_wheel "$wheel" "$scratch/unpacked"
  chmod 755 "$scratch/unpacked"
  rm -rf "$folder"
  mv "$scratch/unpacked" "$folder"
}

owner=${SUDO_USER:-}
if [ -z "$wheel_folder" ]; then
  # Under sudo the cache is still that of the user who will build.
  home=${HOME:-}
  if [ -n "$owner" ] || [ -z "$home" ]; then
    home=$(getent passwd "${owner:-$(id -u)}" | cut -d: -f6)
  fi
  wheel_folder=${XDG_CACHE_HOME:-$home/.cache}/moderngpt2/pyarrow-$pyarrow_version
fi

install_packages "${packages[@]}"
install_wheel "$wheel_folder"
if [ -n "$owner" ] && [ "$(id -u)" = 0 ]; then
  chown -R "$owner:" "$wheel_folder"
  chown "$owner:" "$(dirname "$wheel_folder")"
fi
say "all is there (pyarrow in $wheel_folder)"
