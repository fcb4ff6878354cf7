#!/usr/bin/env bash
# Builds the packages and installs them on new systems. See --help.
set -euo pipefail

me=packages
bare_self=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/packages.sh
bare_checkout=$(dirname "$(dirname "$bare_self")")
# shellcheck source=tests/support/bare_root.sh
. "$bare_checkout/tests/support/bare_root.sh"

usage() {
  cat <<'TEXT'
Builds the packages (.deb and .tar.gz, of the programs and of the headers) and checks their contents, the programs on an
older processor (if qemu-user is installed) and lintian's errors (if it is installed). Then installs them on minimal
systems made by debootstrap: trains a model from text with the programs of the .deb and of the .tar.gz, without a
compiler, and builds a project that uses the headers, without and with oneDNN.

Usage: tests/packages.sh [OPTIONS]

  --build DIR      build folder, configured with preset package (default: build/package)
  --jobs N         parallel jobs of the build (default: number of processors)
  --no_build       uses the packages in the build folder
  --only WHAT      programs, headers or both (default: both)
  --base FILE      tarball of the minimal system, written if it does not exist (default: a temporary file)
  --keep           keeps the root folders for inspection (default: removes them)
  --help           shows this and exits

The minimal systems have this machine's distribution, Debian 12 or Ubuntu 24.04. tests/bare_machine.sh --help lists the
environment variables. Exit status: 0 passed; 1 failed; 2 wrong usage; 77 skipped because root rights, debootstrap, a
mirror, a keyring or dpkg-dev is missing (a line on standard error names it).
TEXT
}

# ---- on this machine

check_contents() {
  local file=$packages_folder/$1 listing
  shift
  listing=$(dpkg-deb -c "$file" | awk '{ print $6 }')
  for path in "$@"; do
    grep -qx "./$path" <<<"$listing" || bare_fail "$(basename "$file") has no $path"
  done
}

# check_processors FOLDER: every program in FOLDER/bin must end with one line and exit status 1 on a processor without
# AVX, and work on one with AVX2.
check_processors() {
  local program argument status errors
  for program in "$1"/bin/*; do
    for argument in --version --help; do
      status=0
      errors=$(qemu-x86_64 -cpu Nehalem "$program" "$argument" 2>&1 >/dev/null) || status=$?
      errors=$(grep -v '^qemu-x86_64: warning' <<<"$errors") || true
      if [ "$status" != 1 ] || [[ $errors != *"error: this processor lacks AVX,"* ]] || [[ $errors == *$'\n'* ]]; then
        bare_fail "$(basename "$program") $argument on a processor without AVX: exit status $status, '$errors'"
      fi
      qemu-x86_64 -cpu Haswell "$program" "$argument" >/dev/null 2>&1 ||
        bare_fail "$(basename "$program") $argument fails on a processor with AVX2"
    done
  done
}

# ---- inside

# pipeline FOLDER: with the programs in FOLDER, as user "tester", writes text, trains a tokenizer and models, generates.
pipeline() {
  # shellcheck disable=SC2016  # the inner shell expands them
  bare_in tester env "PATH=$1:/usr/bin:/bin" bash -euc '
    if command -v g++ gcc cc; then
      echo "a compiler is installed"
      exit 1
    fi
    mkdir ~/"my run"
    cd ~/"my run"
    make_stories --output_path text --documents 400
    train_tokenizer --input text/stories-en.json.gz --output_path tokenizer --vocab_size 600
    pretokenize_dataset --input text/stories-en.json.gz --tokenizer_path tokenizer --output_path blocks \
      --block_size 64 --eval_fraction 0.05
    cat >config.json <<JSON
{"model_type": "moderngpt2", "vocab_size": 600, "n_embd": 64, "n_layer": 2, "n_head": 4, "head_dim": 16,
 "num_key_value_heads": 2, "intermediate_size": 128, "n_positions": 128}
JSON
    for precision in fp32 bf16; do
      train --config_file config.json --tokenizer_path tokenizer --pre_tokenized_dataset_path blocks --block_size 64 \
        --per_device_train_batch_size 2 --max_steps 12 --logging_steps 4 --precision "$precision" \
        --output_dir "model-$precision"
      generate --model_path "model-$precision" --prompt "One morning" --max_new_tokens 8 --seed 1
    done
    plot_loss --metrics_file model-fp32/metrics.jsonl --output_path loss.svg
    test -s loss.svg
  '
}

build_consumer() { # NAME CMAKE_ARGUMENT...
  bare_in tester cmake -S /home/tester/consumers/find_package -B "/home/tester/$1" "${@:2}" &&
    bare_in tester cmake --build "/home/tester/$1" --verbose &&
    bare_in tester "/home/tester/$1/consumer" | grep -x 'a model of 3 layers'
}

test_deb() {
  bare_unpack "$base" deb
  bare_logged deb-user bare_add_user tester
  cp "$packages_folder/$programs_deb" "$bare_root/tmp/"
  bare_logged deb-install bare_in root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
    --no-install-recommends "/tmp/$programs_deb"
  bare_logged deb-pipeline pipeline /usr/bin
  bare_logged deb-remove bare_in root apt-get -q purge -y moderngpt2
  local left
  left=$(find "$bare_root/usr" "$bare_root/etc" -name '*moderngpt2*' -not -path '*/tmp/*')
  [ -z "$left" ] || bare_fail "removing the package moderngpt2 leaves $left"
}

test_archive() {
  bare_unpack "$base" archive
  bare_logged archive-user bare_add_user tester
  mkdir "$bare_root/opt/my programs"
  tar -C "$bare_root/opt/my programs" -xzf "$packages_folder/$programs_archive"
  local folder command
  folder=$(compgen -G "$bare_root/opt/my programs/*")
  folder=${folder#"$bare_root"}
  command=$(sed -n 's/^ *\(apt-get install .*\)/\1/p' "$bare_root$folder/share/doc/moderngpt2/README.txt")
  [ -n "$command" ] || bare_fail "README.txt of $programs_archive names no packages to install"
  echo "$command"
  bare_logged archive-install bare_in root env DEBIAN_FRONTEND=noninteractive bash -c "${command/install/install -y}"
  bare_logged archive-pipeline pipeline "$folder/bin"
}

test_headers() {
  bare_unpack "$base" headers
  bare_logged headers-user bare_add_user tester
  bare_logged headers-tools bare_install cmake make g++
  cp "$packages_folder/$headers_deb" "$bare_root/tmp/"
  cp -r "$bare_checkout/tests/consumers" "$bare_root/home/tester/consumers"
  bare_logged headers-install bare_in root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
    --no-install-recommends "/tmp/$headers_deb"
  bare_logged headers-without_onednn build_consumer without
  ! grep -q MODERNGPT2_HAVE_ONEDNN "$bare_log" || bare_fail "oneDNN is used where it is not installed: $bare_log"
  bare_logged headers-onednn bare_install libdnnl-dev
  bare_logged headers-with_onednn build_consumer with -DMODERNGPT2_ONEDNN=ON
  grep -q MODERNGPT2_HAVE_ONEDNN=1 "$bare_log" || bare_fail "oneDNN is not used where it is installed: $bare_log"
  bare_logged headers-remove bare_in root dpkg -r libmoderngpt2-dev
  tar -C "$bare_root/opt" -xzf "$packages_folder/$headers_archive"
  bare_logged headers-archive build_consumer archive \
    -DCMAKE_PREFIX_PATH="$(compgen -G "$bare_root/opt/*" | sed "s|^$bare_root||")"
}

# only_match PATTERN: prints the name of the only file in $packages_folder that matches.
only_match() {
  local matches
  mapfile -t matches < <(cd "$packages_folder" && compgen -G "$1")
  [ ${#matches[@]} = 1 ] || bare_fail "$packages_folder has ${#matches[@]} files $1 (expected 1)"
  echo "${matches[0]}"
}

name_packages() {
  programs_deb=$(only_match 'moderngpt2_*.deb')
  programs_archive=$(only_match 'moderngpt2-[0-9]*.tar.gz')
  headers_deb=$(only_match 'libmoderngpt2-dev_*.deb')
  headers_archive=$(only_match 'moderngpt2-dev-*.tar.gz')
}

if [ "${1:-}" = --inside ]; then
  bare_enter "$2"
  distribution=$3 packages_folder=$4 only=$5 base=$6 bare_keep=$7
  bare_require "$distribution"
  name_packages
  bare_stage "$distribution: minimal system"
  bare_make_base "${base:=$bare_work/base.tar}"
  if [ "$only" != headers ]; then
    bare_stage "$programs_deb on a system without a compiler"
    test_deb
    bare_remove
    bare_stage "$programs_archive on a system without a compiler"
    test_archive
    bare_remove
  fi
  if [ "$only" != programs ]; then
    bare_stage "$headers_deb and $headers_archive, with their dependencies and a compiler"
    test_headers
    bare_remove
  fi
  bare_stage "all passed"
  exit 0
fi

build=$bare_checkout/build/package
jobs=$(nproc)
base=
make=yes
only=both
while [ $# -gt 0 ]; do
  flag=$1
  shift
  case $flag in
    --help | -h)
      usage
      exit 0
      ;;
    --keep) bare_keep=yes ;;
    --no_build) make=no ;;
    --build | --jobs | --base | --only)
      [ $# -gt 0 ] || bare_misuse "$flag needs a value"
      case $flag=$1 in
        --build=*) build=$(realpath -m "$1") ;;
        --jobs=[1-9]*) jobs=$1 ;;
        --base=*) base=$(realpath -m "$1") ;;
        --only=programs | --only=headers | --only=both) only=$1 ;;
        *) bare_misuse "$flag: unknown value '$1'" ;;
      esac
      shift
      ;;
    *) bare_misuse "unknown argument '$flag'" ;;
  esac
done

for tool in dpkg-deb dpkg-shlibdeps; do
  command -v "$tool" >/dev/null || bare_skip "needs $tool (Debian: dpkg-dev), which is not installed"
done
# shellcheck source=/dev/null
distribution=$(. /etc/os-release && echo "$ID$VERSION_ID")
case $distribution in
  debian12 | ubuntu24.04) ;;
  *) bare_skip "needs Debian 12 or Ubuntu 24.04, this is $distribution: packages are for the system that builds them" ;;
esac
bare_require "$distribution"

packages_folder=$build/packages
if [ "$make" = yes ]; then
  bare_stage "programs for x86-64-v3, and packages"
  rm -rf "$packages_folder"
  (cd "$bare_checkout" && cmake --preset package -B "$build")
  cmake --build "$build" -j "$jobs" --target package
fi
name_packages

bare_stage "contents"
[ "$only" = headers ] || check_contents "$programs_deb" usr/bin/train usr/bin/generate usr/share/man/man1/train.1.gz \
  usr/share/doc/moderngpt2/copyright usr/share/licenses/moderngpt2/arrow/LICENSE.txt
[ "$only" = programs ] || check_contents "$headers_deb" usr/include/moderngpt2/moderngpt2.hpp \
  usr/share/cmake/moderngpt2/moderngpt2Config.cmake usr/share/pkgconfig/moderngpt2.pc \
  usr/share/doc/libmoderngpt2-dev/copyright
dpkg-deb -f "$packages_folder/$programs_deb" Package Architecture Depends
dpkg-deb -f "$packages_folder/$headers_deb" Package Architecture Depends Recommends
if command -v lintian >/dev/null; then
  # The default address of the maintainer is a placeholder: MODERNGPT2_PACKAGE_MAINTAINER sets the real one.
  lintian --allow-root --fail-on error --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog \
    "$packages_folder"/*.deb || bare_fail "lintian found errors"
else
  echo "skipped: lintian is not installed"
fi

if [ "$only" = headers ]; then
  : # nothing to run
elif command -v qemu-x86_64 >/dev/null; then
  bare_stage "programs on an older processor"
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  tar -C "$scratch" -xzf "$packages_folder/$programs_archive"
  check_processors "$scratch"/*
  rm -rf "$scratch"
  trap - EXIT
else
  echo "skipped: programs on an older processor, qemu-x86_64 (Debian: qemu-user) is not installed"
fi

bare_isolate "$distribution" "$packages_folder" "$only" "$base" "$bare_keep"
