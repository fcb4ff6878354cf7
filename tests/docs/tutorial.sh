#!/usr/bin/env bash
# Runs the commands of docs/tutorial.md, with less text, fewer steps and a smaller model.
#
#   tutorial.sh FOLDER_OF_PROGRAMS
set -euo pipefail
bin=$(cd "$1" && pwd)
page=$(cd "$(dirname "$0")/../../docs" && pwd)/tutorial.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# All sh blocks except the first, which builds the programs.
awk '/^```sh$/ { inside = 1; block++; next } /^```$/ { inside = 0 } inside && block > 1' "$page" >commands.sh
smaller=(
  "--documents 12000/--documents 300" "--documents 6000/--documents 300" "--vocab_size 2000/--vocab_size 1000"
  "--max_steps 1500/--max_steps 4" "--logging_steps 100/--logging_steps 2" "--eval_steps 500/--eval_steps 2"
  "--save_steps 1500/--save_steps 2" '"n_embd": 192/"n_embd": 48' '"vocab_size": 2000/"vocab_size": 1000'
  "--interactive/--interactive --max_new_tokens 8" "_tokenizer --input/_tokenizer --num_threads 1 --input"
)
for change in "${smaller[@]}"; do
  grep -qe "${change%%/*}" commands.sh || {
    echo "tutorial: the page no longer has '${change%%/*}', which $0 makes smaller" >&2
    exit 1
  }
  sed -i "s/$change/" commands.sh
done
PATH=$bin:$PATH bash -euo pipefail commands.sh >said.txt 2>errors.txt || {
  tail -n 5 errors.txt >&2
  exit 1
}
for file in dialogues/dialogues-en.jsonl tokenizer/tokenizer.json blocks/metadata.yaml loss.svg \
  chat_model/checkpoint-4/model.safetensors chat_model/tokenizer_config.json; do
  [ -s "$file" ] || {
    echo "tutorial: there is no $file" >&2
    exit 1
  }
done
grep -q chat_template chat_model/tokenizer_config.json
if grep -iE 'warning|plain' errors.txt; then exit 1; fi
echo "the commands of the tutorial work"
