#!/usr/bin/env bash
# examples/pretrain.cpp: trains on text files, resumes, and `generate` reads the model; with MPI on two processes too.
#
#   pretrain.sh FOLDER_OF_PROGRAMS [MPIEXEC]
set -euo pipefail
bin=$1
mpiexec=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
  echo "pretrain: $*" >&2
  tail -n 5 log >&2
  exit 1
}
# pretrain STEPS [LAUNCHER...]
pretrain() {
  local steps=$1
  shift
  "$@" "$bin/pretrain" --input text --vocab_size 1000 --max_steps "$steps" --output_dir model >log 2>&1
}

"$bin/make_stories" --output_path text --documents 200 >log 2>&1 || fail "make_stories failed"
pretrain 2 || fail "training failed"
[ -f model/model.safetensors ] || fail "no model was written"
pretrain 3 || fail "resuming failed"
[ -d model/checkpoint-3 ] || fail "no checkpoint of step 3"
if [ -n "$mpiexec" ]; then
  pretrain 4 "$mpiexec" -n 2 || fail "two processes failed"
  [ -d model/checkpoint-4 ] || fail "no checkpoint of step 4"
fi
"$bin/generate" --model_path model --prompt "The" --max_new_tokens 5 >log 2>&1 || fail "generate cannot read the model"
if "$bin/pretrain" --input missing.txt --output_dir other >log 2>&1; then fail "a missing file was accepted"; fi
grep -q 'missing.txt' log || fail "the error does not name the missing file"
