#!/usr/bin/env bash
# Checks moderngpt2_add_model: the shapes of valid files, and the message for each invalid one.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.24)
project(models LANGUAGES NONE)
include("$here/../../cmake/Moderngpt2AddModel.cmake")
moderngpt2_add_model(\${MODEL} CONFIG config.json \${FURTHER})
END
failures=0
cases=0

# run NAME JSON: configures with that file and further arguments $further. $said is the output of CMake, folded to one
# line.
further=
run() {
  cases=$((cases + 1))
  printf '%s' "$2" >"$scratch/config.json"
  rm -rf "$scratch/build"
  said=$(cmake -S "$scratch" -B "$scratch/build" -DMODEL="$1" "-DFURTHER=$further" 2>&1)
  local status=$?
  said=$(tr -s ' \n' '  ' <<<"$said")
  return $status
}

makes() {
  if ! run tiny "$1"; then
    echo "refused, and should not be: $1: $said"
    failures=$((failures + 1))
  fi
  local header field
  header=$(tr -s ' \n' '  ' <"$scratch/build/moderngpt2_models/tiny/moderngpt2/models/tiny.hpp")
  shift
  for field in "$@"; do
    if [[ "$header" != *"$field,"* ]]; then
      echo "no '$field' in: $header"
      failures=$((failures + 1))
    fi
  done
}

refuses() {
  local message=$1
  if run "${3:-tiny}" "$2"; then
    echo "accepted, and should not be: $2"
    failures=$((failures + 1))
  elif [[ "$said" != *"$message"* ]]; then
    echo "no '$message' in: $said"
    failures=$((failures + 1))
  fi
}

makes '{}' '.n_layer = 12' '.n_embd = 768' '.n_head = 12' '.n_kv_head = 12' '.head_dim = 64' '.n_inner = 3072' \
  '.activation = Activation::gelu_tanh' '.attention_bias = Toggle::off' '.tied_head = Toggle::on'
makes '{"n_embd": 96, "n_head": 4, "num_key_value_heads": null, "head_dim": null, "intermediate_size": null}' \
  '.n_kv_head = 4' '.head_dim = 24' '.n_inner = 384'
makes '{"model_type": "moderngpt2", "n_layer": 2, "num_hidden_layers": 2, "head_dim": 10, "hidden_activation": "gelu_new",
  "attention_bias": true, "tie_word_embeddings": false}' '.n_layer = 2' '.head_dim = 10' \
  '.activation = Activation::gelu_tanh' '.attention_bias = Toggle::on' '.tied_head = Toggle::off'
gemma2='"hidden_size": 64, "num_hidden_layers": 5, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
  "intermediate_size": 128, "model_type": "gemma2"'
makes "{$gemma2, \"hidden_act\": \"gelu\", \"hidden_activation\": \"gelu\"}" '.n_layer = 5' '.n_embd = 64' \
  '.n_kv_head = 2' '.head_dim = 32' '.activation = Activation::gelu'

refuses 'hidden_activation is missing' "{$gemma2}"
refuses 'num_hidden_layers is missing' '{"model_type": "gemma2"}'
refuses 'model_type is llama' '{"model_type": "llama"}'
refuses 'not a JSON file' '{"n_layer": 2'
refuses 'not a JSON file' ''
refuses 'a JSON object is expected' '[1]'
refuses 'num_hidden_layers is 4, and n_layer is 3' '{"n_layer": 3, "num_hidden_layers": 4}'
refuses 'n_layer is 0, where a whole number' '{"n_layer": 0}'
refuses 'n_layer is -3, where a whole number' '{"n_layer": -3}'
refuses 'n_layer is 1.5, where a whole number' '{"n_layer": 1.5}'
refuses 'n_embd is 99999999999, where a whole number' '{"n_embd": 99999999999}'
refuses 'n_layer is 12, where a number is expected' '{"n_layer": "12"}'
refuses 'attention_bias is 1, where a boolean is expected' '{"attention_bias": 1}'
refuses 'does not divide n_head 12' '{"num_key_value_heads": 5}'
refuses 'so head_dim must be given' '{"n_embd": 100}'
refuses 'head_dim 7 is odd' '{"head_dim": 7}'
refuses 'unknown activation softmax' '{"activation_function": "softmax"}'
refuses 'write REGISTERED_ACTIVATION softmax after CONFIG' '{"activation_function": "softmax"}'
further='REGISTERED_ACTIVATION;star_relu'
makes '{"activation_function": "star_relu"}' '.n_layer = 12' '.activation = Activation::dynamic' '.tied_head = Toggle::on'
makes '{"activation_function": "silu"}' '.activation = Activation::silu'
refuses 'unknown activation softmax' '{"activation_function": "softmax"}'
further='REGISTERED_ACTIVATION;swish'
refuses 'REGISTERED_ACTIVATION swish is the name of a built-in one' '{}'
further=
refuses 'is no name of a C++ constant' '{}' my-model

echo "$cases cases, $failures failures"
[ "$failures" = 0 ]
