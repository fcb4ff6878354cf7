#!/usr/bin/env bash
# Trains a small language model that tells stories on a fresh Debian 12 or Ubuntu 24.04. See --help.
set -euo pipefail

usage() {
  cat <<'TEXT'
Installs what is needed, builds the programs, and trains, evaluates and tries out a language model of about 10
million parameters, on text of the project's own (short English and Japanese stories) or on yours.

Usage: examples/quickstart.sh [OPTIONS]

  --input FILE...     your own text instead of the stories: .txt, .jsonl or .json.gz, globs or folders
  --output_dir DIR    where everything goes; must be new or empty (default: quickstart)
  --minutes N         how long the training itself takes, about (default: 10)
  --max_steps N       train so many steps instead
  --vocab_size N      size of the tokenizer's vocabulary (default: 8000)
  --threads N         processor cores to use (default: all)
  --prompt TEXT       what the samples begin with; may be given several times
  --no_install        install nothing
  --help              shows this and exits
TEXT
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)} # CMake looks for Arrow in ~/.cache
export HOME
bin=$root/build/bin
block_size=256
batch_size=2 # many small steps learn more in ten minutes than few big ones
documents=20000

complain() { echo "quickstart: error: $*" >&2; }
fail() {
  complain "$*"
  exit 1
}
misuse() {
  complain "$*"
  echo "Try '$0 --help'." >&2
  exit 2
}

# ---- the command line

input=()
prompts=()
output_dir=quickstart
minutes=10
max_steps=
vocab_size=8000
threads=$(nproc)
install=yes

arguments=()
for argument in "$@"; do # --name=value is --name value
  if [[ $argument == --*=* ]]; then
    arguments+=("${argument%%=*}" "${argument#*=}")
  else
    arguments+=("$argument")
  fi
done
set -- ${arguments[@]+"${arguments[@]}"}

while [ $# -gt 0 ]; do
  flag=$1
  shift
  case $flag in
    --help | -h)
      usage
      exit 0
      ;;
    --no_install) install=no ;;
    --input)
      while [ $# -gt 0 ] && [[ $1 != --* ]]; do
        input+=("$1")
        shift
      done
      [ ${#input[@]} -gt 0 ] || misuse "--input needs a file, a glob or a folder"
      ;;
    --output_dir | --minutes | --max_steps | --vocab_size | --threads | --prompt)
      [ $# -gt 0 ] || misuse "$flag needs a value"
      case $flag in
        --output_dir) output_dir=$1 ;;
        --prompt) prompts+=("$1") ;;
        *)
          [[ $1 =~ ^[1-9][0-9]{0,8}$ ]] || misuse "$flag: '$1' is not a whole number from 1 on"
          declare "${flag#--}=$1"
          ;;
      esac
      shift
      ;;
    --*) misuse "there is no option $flag" ;;
    *) misuse "unexpected argument '$flag'" ;;
  esac
done

[ -n "$output_dir" ] || misuse "--output_dir needs a folder"
if [ -e "$output_dir" ] && [ ! -d "$output_dir" ]; then
  fail "$output_dir is not a folder: choose another --output_dir"
fi
if [ -d "$output_dir" ] && [ -n "$(ls -A "$output_dir")" ]; then
  fail "the folder $output_dir is not empty: choose another --output_dir, or remove it"
fi
mkdir -p "$output_dir/log" || fail "cannot make the folder $output_dir"
output_dir=$(cd "$output_dir" && pwd)
export OMP_NUM_THREADS=$threads

# ---- messages

steps=8
step_number=0
title=
step() {
  step_number=$((step_number + 1))
  title=$1
  printf '\n[%d/%d] %s (%s since the start)\n' "$step_number" "$steps" "$title" "$(clock)"
}
clock() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }
trap 'complain "stopped at step $step_number, \"$title\": what went wrong stands above"' ERR

# Runs a command and writes its output to a file. Prints the end of the file if the command fails.
quietly() {
  local log=$output_dir/log/$1.txt
  shift
  "$@" >"$log" 2>&1 && return 0
  tail -n 20 "$log" >&2
  echo "(all of it is in $log)" >&2
  return 1
}

# ---- steps

step "Installing what is needed"
if [ "$install" = yes ]; then
  # Without SUDO_USER, wheels are unpacked into the cache of $HOME, where CMake looks, also under sudo.
  quietly install env -u SUDO_USER "$root/cmake/install_dependencies.sh"
else
  echo "left out (--no_install)"
fi

step "Building the programs (some minutes the first time)"
quietly configure cmake -S "$root" -B "$root/build" -DCMAKE_BUILD_TYPE=Release
quietly build cmake --build "$root/build" --parallel "$threads" --target \
  make_stories train_tokenizer pretokenize_dataset train generate plot_loss
echo "they are in $bin"

step "Preparing the text"
if [ ${#input[@]} -eq 0 ]; then
  "$bin/make_stories" --output_path "$output_dir/text" --documents "$documents"
  input=("$output_dir/text/stories-en.json.gz" "$output_dir/text/stories-ja.json.gz")
  [ ${#prompts[@]} -gt 0 ] || prompts=(
    "One morning, Mary had 5 apples. Tom gave her 4 more."
    "Ben could not find his red hat."
    "ある日、けんくんは切手を6枚持っていました。"
  )
else
  echo "your own: ${input[*]}"
  [ ${#prompts[@]} -gt 0 ] || prompts=("")
fi

step "Training a tokenizer of $vocab_size pieces"
quietly tokenizer "$bin/train_tokenizer" --input "${input[@]}" --output_path "$output_dir/tokenizer" \
  --vocab_size "$vocab_size" --max_train_lines 20000 --num_threads "$threads"
echo "it is in $output_dir/tokenizer"

step "Turning the text into blocks of $block_size tokens"
quietly pretokenize "$bin/pretokenize_dataset" --input "${input[@]}" --tokenizer_path "$output_dir/tokenizer" \
  --output_path "$output_dir/blocks" --block_size "$block_size" --eval_fraction 0.02
echo "they are in $output_dir/blocks"

cat >"$output_dir/config.json" <<JSON
{
  "model_type": "moderngpt2",
  "vocab_size": $vocab_size,
  "n_embd": 384,
  "n_layer": 4,
  "n_head": 6,
  "head_dim": 64,
  "num_key_value_heads": 2,
  "intermediate_size": 1152,
  "n_positions": 1024,
  "resid_pdrop": 0.0,
  "embd_pdrop": 0.0,
  "attn_pdrop": 0.0
}
JSON
data=(--tokenizer_path "$output_dir/tokenizer" --pre_tokenized_dataset_path "$output_dir/blocks"
  --block_size "$block_size" --per_device_train_batch_size "$batch_size" --gradient_accumulation_steps 1
  --precision fp32)

step "Training the model"
if [ -z "$max_steps" ]; then
  trial=$output_dir/trial
  quietly trial "$bin/train" "${data[@]}" --config_file "$output_dir/config.json" --output_dir "$trial" \
    --max_steps 40 --logging_steps 20 --eval_steps 0 --save_steps 0
  speed=$(sed -n 's/.*"tokens_per_second": *\([0-9][0-9]*\).*/\1/p' "$trial/metrics.jsonl" | tail -n 1)
  [ -n "$speed" ] || fail "$trial/metrics.jsonl does not say how many tokens a second: use --max_steps"
  rm -rf "$trial"
  max_steps=$((minutes * 60 * speed / (block_size * batch_size)))
  [ "$max_steps" -ge 20 ] || max_steps=20
  echo "$speed tokens a second: $max_steps steps take about $minutes minutes"
fi
at_least_one() { echo $(($1 > 1 ? $1 : 1)); }
"$bin/train" "${data[@]}" --config_file "$output_dir/config.json" --output_dir "$output_dir/model" \
  --max_steps "$max_steps" --learning_rate 1e-3 --warmup_ratio 0.05 --weight_decay 0.1 --adam_beta2 0.99 \
  --save_steps "$max_steps" \
  --logging_steps "$(at_least_one $((max_steps / 200)))" --eval_steps "$(at_least_one $((max_steps / 8)))"

step "Evaluating it on text that it has not seen"
"$bin/train" "${data[@]}" --model_path "$output_dir/model" --output_dir "$output_dir/evaluation" --eval_only

step "Trying it out"
seed=0
for prompt in "${prompts[@]}"; do
  seed=$((seed + 1))
  printf '\n> %s' "$prompt"
  "$bin/generate" --model_path "$output_dir/model" "--prompt=$prompt" --max_new_tokens 120 \
    --temperature 0.7 --top_k 40 --top_p 0.95 --seed "$seed"
  echo
done

echo
"$bin/plot_loss" --metrics_file "$output_dir/model/metrics.jsonl" --output_path "$output_dir/loss.svg"
cat <<TEXT

Done in $(clock). Everything is in $output_dir:
  model/       the model, its tokenizer and its last checkpoint; metrics.jsonl has the losses
  tokenizer/   the tokenizer
  blocks/      the text as tokens
  loss.svg     the picture of the loss
  log/         what the quiet steps had to say
Try it yourself:
  $(printf '%q' "$bin/generate") --model_path $(printf '%q' "$output_dir/model") --prompt "Once there was"
TEXT
