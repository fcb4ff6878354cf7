#!/usr/bin/env bash
# Runs the commands of docs/recipes.md in order, with fewer steps: the blocks marked sh. The model that is converted to
# gemma2 must generate what the model itself generates.
#
#   recipes.sh FOLDER_OF_PROGRAMS [MPIEXEC]
#
# Without MPIEXEC the recipe for several processes runs as one.
set -euo pipefail
bin=$(cd "$1" && pwd)
mpiexec=${2:-}
page=$(cd "$(dirname "$0")/../../docs" && pwd)/recipes.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
  echo "recipes: $*" >&2
  exit 1
}

awk '/^```sh$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$page" >commands.sh

smaller=(
  "--max_steps 200/--max_steps 4" "--max_steps 300/--max_steps 6" "--max_steps 20 /--max_steps 6 "
  "checkpoint-200/checkpoint-4" "--logging_steps 50/--logging_steps 2" "--eval_steps 100/--eval_steps 2"
  "--save_steps 100/--save_steps 2" '"n_embd": 64/"n_embd": 32' "--max_new_tokens 20/--max_new_tokens 5"
)
for change in "${smaller[@]}"; do
  grep -qe "${change%%/*}" commands.sh || fail "the page no longer has '${change%%/*}', which $0 makes smaller"
  sed -i "s/$change/g" commands.sh
done
sed -i "s|^mpirun -n 2 |${mpiexec:+$mpiexec -n 2 }|" commands.sh

export OMP_NUM_THREADS=1
PATH=$bin:$PATH bash -eu commands.sh >said.txt 2>errors.txt || {
  tail -n 5 said.txt errors.txt >&2
  exit 1
}
for file in converted_tokenizer/tokenizer.json blocks/eval/shard_00000.parquet model/checkpoint-6/model.safetensors \
  from_text/model.safetensors tuned/model.safetensors loss.svg model/report.html logged/runs sampled/samples.jsonl \
  two/checkpoint-6/trainer_state.json predictions.jsonl completions.jsonl from_gemma2/model.safetensors; do
  [ -s "$file" ] || fail "there is no $file"
done
for model in model gemma2_model; do
  "$bin/generate" --model_path $model --prompt "Once there was" --max_new_tokens 20 --no_do_sample >$model.txt 2>&1
done
cmp model.txt gemma2_model.txt || fail "the exported model writes another text"
echo "the commands of the recipes work"
