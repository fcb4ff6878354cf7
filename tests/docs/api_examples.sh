#!/usr/bin/env bash
# Runs the programs of docs/api/ in a scratch folder, and compares what they print.
#
#   api_examples.sh PROGRAM [MPIEXEC]
#
# GPU_EXAMPLE in the environment: tests/docs/api/gpu.cpp, compiled for the simulated GPU.
set -euo pipefail
program=$1
mpiexec=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
cp -r "$here/../data/tokenizer/unigram" my_tokenizer
cp "$here/../../LICENSE" my_text.txt

fail() {
  cat output.txt
  echo "api_examples: $*"
  exit 1
}
# expect PATTERN: a line of the output must match
expect() { grep -qE "$1" output.txt || fail "no line of the output matches: $1"; }

"$program" >output.txt || fail "status $?"
expect 'step 38  evaluation loss [34]\.'              # train
expect 'loss 0\.[0-9]+, on held-out blocks 0\.'       # own_data: from ln 64 = 4.2
expect 'step 30: loss [0-2]\.'                        # loop
expect 'loss packed ([0-9.]+), one by one \1$'        # packed
expect '^3 prompt tokens, 20 new: '                   # generate
[ "$(grep -c '^perplexity' output.txt)" = 2 ] || fail "score: two texts"
awk '/^perplexity/ { gsub(":", ""); d = $4 - $6; if (d > 0.02 || d < -0.02) exit 1 }' output.txt || fail "score: sums differ"
expect '\(cancelled\)$'                               # requests
expect '^  optimizer state'                           # memory
expect '^  saved my_run$'                             # resume
expect '^star_relu$'                                  # activation
for folder in my_model my_answers; do [ -s "$folder/model.safetensors" ] || fail "no $folder/model.safetensors"; done
[ "$(grep -c '^You' output.txt)" -ge 4 ] || fail "threads: four texts"

if [ -n "$mpiexec" ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
  export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
  "$mpiexec" -n 2 "$program" processes >output.txt || fail "processes: status $?"
  expect '^2 processes, '
  expect 'the model is in my_ranks'
  "$mpiexec" -n 2 "$program" communicator >output.txt || fail "communicator: status $?"
  expect 'rank [01] of 2: 3$'
  [ -s my_ranks/model.safetensors ] || fail "processes: no my_ranks/model.safetensors"
fi
if [ -n "${GPU_EXAMPLE:-}" ]; then
  "$GPU_EXAMPLE" >output.txt || fail "gpu: status $?"
  expect '^8 new tokens$'
fi
echo "all programs of docs/api/ run"
