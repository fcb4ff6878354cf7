#!/usr/bin/env bash
# Checks that installed programs start, and include manuals, completions and the shared libraries not in system
# packages.
#
#   check_installed_programs.sh BUILD_FOLDER
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cmake --install "$1" --prefix "$scratch/first" --component programs >/dev/null
mv "$scratch/first" "$scratch/moved"

count=0
for program in "$scratch"/moved/bin/*; do
  if [ -x "$program" ]; then
    libraries=$(ldd "$program")
    if grep -E 'not found|pyarrow' <<<"$libraries"; then
      echo "$program: needs a library that is not carried along"
      exit 1
    fi
    "$program" --help >"$scratch/help.txt" || {
      echo "$program --help failed"
      exit 1
    }
    [ -s "$scratch/help.txt" ] || {
      echo "$program --help says nothing"
      exit 1
    }
    count=$((count + 1))
  fi
done
for file in man/man1/train.1 bash-completion/completions/train zsh/site-functions/_train \
  fish/vendor_completions.d/train.fish; do
  [ ! -x "$scratch/moved/bin/train" ] || [ -s "$scratch/moved/share/$file" ] || {
    echo "share/$file is not installed"
    exit 1
  }
done
echo "$count installed programs start"
[ "$count" -gt 0 ]
