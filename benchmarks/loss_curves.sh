#!/usr/bin/env bash
# Trains `tiny` (4 layers, n_embd 256) for 500 steps of 8 x 256 tokens of real text in fp32 and in bf16, from equal
# weights on equal batches, and compares the losses: the means of the last 50 steps and the validation losses must agree
# within 1%. Exits with status 1 if they do not. Writes an SVG with both curves.
#
#   benchmarks/loss_curves.sh [--bin DIR] [--output_dir DIR] [--threads N] TEXT_FILE...
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bin=$root/build/bin
output=$root/build/loss_curves
threads=$(nproc)
vocab_size=8000
steps=500
input=()
while [ $# -gt 0 ]; do
  case $1 in
    --bin | --output_dir | --threads)
      [ $# -gt 1 ] || { echo "loss_curves.sh: $1 needs a value" >&2; exit 2; }
      case $1 in
        --bin) bin=$2 ;;
        --output_dir) output=$2 ;;
        --threads) threads=$2 ;;
      esac
      shift 2
      ;;
    --*)
      echo "loss_curves.sh: there is no option $1" >&2
      exit 2
      ;;
    *)
      input+=("$1")
      shift
      ;;
  esac
done
if [ ${#input[@]} -eq 0 ]; then
  echo "loss_curves.sh: name the text files to train on" >&2
  exit 2
fi
for program in train_tokenizer pretokenize_dataset train; do
  if [ ! -x "$bin/$program" ]; then
    echo "loss_curves.sh: $bin/$program is not there: build it, or name the folder with --bin" >&2
    exit 1
  fi
done

rm -rf "$output"
mkdir -p "$output"
"$bin/train_tokenizer" --input "${input[@]}" --output_path "$output/tokenizer" --vocab_size "$vocab_size" \
  --num_threads "$threads" >"$output/tokenizer.log" 2>&1
"$bin/pretokenize_dataset" --input "${input[@]}" --tokenizer_path "$output/tokenizer" --output_path "$output/blocks" \
  --block_size 256 --eval_fraction 0.03 >"$output/blocks.log" 2>&1
cat >"$output/config.json" <<JSON
{
  "model_type": "moderngpt2", "vocab_size": $vocab_size, "n_embd": 256, "n_layer": 4, "n_head": 4, "n_positions": 1024,
  "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0
}
JSON
for precision in fp32 bf16; do
  "$bin/train" --config_file "$output/config.json" --tokenizer_path "$output/tokenizer" \
    --pre_tokenized_dataset_path "$output/blocks" --output_dir "$output/$precision" --precision "$precision" \
    --max_steps "$steps" --per_device_train_batch_size 8 --learning_rate 1e-3 --seed 1 --threads "$threads" \
    --logging_steps 1 --eval_steps "$steps" --save_steps "$steps" >"$output/$precision.log" 2>&1
done
exec python3 "$root/benchmarks/loss_curves.py" "$output" "$steps"
