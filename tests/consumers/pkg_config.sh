#!/usr/bin/env bash
# Compiles programs with the flags of the installed pkg-config files, from a folder that was moved after installation.
# Exit status 77: pkg-config or the pkg-config file of a dependency is missing.
#
#   pkg_config.sh BUILD_FOLDER COMPILER
set -euo pipefail

build=$1
compiler=$2
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cmake --install "$build" --prefix "$scratch/first" --component development >/dev/null
mv "$scratch/first" "$scratch/moved"
export PKG_CONFIG_PATH=$scratch/moved/share/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
version=$(sed -n 's/.* version = "\(.*\)";/\1/p' "$here/../../include/moderngpt2/core/version.hpp")
cd "$scratch"

# flags NAME: the flags of a package, in the array $flags.
flags() {
  if ! command -v pkg-config >/dev/null || ! pkg-config --print-errors --exists "$1"; then
    echo "skipped: pkg-config, or the pkg-config file of a dependency of $1, is not installed"
    exit 77
  fi
  [ "$(pkg-config --modversion "$1")" = "$version" ] || {
    echo "$1.pc: version $(pkg-config --modversion "$1"), expected $version"
    exit 1
  }
  read -ra flags <<<"$(pkg-config --cflags --libs "$1")"
  [[ " ${flags[*]} " == *" -I$scratch/moved/"* ]] || {
    echo "$1.pc: does not follow a moved folder: ${flags[*]}"
    exit 1
  }
}

cat >core.cpp <<'END'
#include <cstdio>

#include <moderngpt2/moderngpt2.hpp>

int main() {
  moderngpt2::Config config;
  config.vocab_size = 8, config.n_positions = 8, config.n_layer = 1, config.n_embd = 8, config.n_inner = 16;
  config.n_head = config.n_kv_head = 2, config.head_dim = 4;
  moderngpt2::CausalLM<moderngpt2::any_shape> model(config);
  model.initialize(1);
  std::printf("%d layer\n", model.config().n_layer);
}
END
flags moderngpt2
"$compiler" -std=c++20 -DMODERNGPT2_ALLOW_O0 core.cpp "${flags[@]}" -o core
[ "$(./core)" = "1 layer" ]

cat >data.cpp <<'END'
#include <cstdio>

#include <moderngpt2/data/source.hpp>

int main() {
  moderngpt2::SourceOptions options;
  options.inputs = {"text.txt"};
  moderngpt2::DocumentSource source(options);
  moderngpt2::Document document;
  int documents = 0;
  while (source.next(document)) ++documents;
  std::printf("%d documents\n", documents);
}
END
flags moderngpt2-data
"$compiler" -std=c++20 -DMODERNGPT2_ALLOW_O0 data.cpp "${flags[@]}" -o data
printf 'one\n\ntwo\n' >text.txt
[ "$(./data)" = "2 documents" ]
for name in onednn tokenizer_training cli; do flags "moderngpt2-$name"; done
