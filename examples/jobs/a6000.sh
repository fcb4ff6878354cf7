#!/usr/bin/env bash
# One RTX A6000 (48 GB), without a scheduler: bash examples/jobs/a6000.sh
#
# Requires a `train` built with -DMODERNGPT2_CUDA=ON.
# DRY_RUN=1 TRAIN_FLAGS="--precision bf16" bash FILE prints the plan on any machine. Variables:
# docs/training_examples.md
set -eo pipefail

read -r -a train <<<"${TRAIN:-build/bin/train}"
read -r -a flags <<<"${TRAIN_FLAGS---device cuda --precision bf16}"
if [ -n "$MAX_HOURS" ]; then flags+=(--max_hours "$MAX_HOURS"); fi
if [ "$DRY_RUN" = 1 ]; then flags+=(--dry_run); fi
jobs=$(dirname "$0") # in a job, $0 may be the scheduler's copy
[ -r "$jobs/requeue.bash" ] || jobs=examples/jobs
# shellcheck source=/dev/null
source "$jobs/requeue.bash"
output="${OUTPUT:-output/a6000}"

run_and_requeue examples/jobs/a6000.sh "$output" "${train[@]}" \
  --model_size_name medium \
  --tokenizer_path "${TOKENIZER:-my_tokenizer}" \
  --pre_tokenized_dataset_path "${DATA:-my_pretokenized_data}" \
  --output_dir "$output" \
  --resume_from_checkpoint latest \
  --num_train_epochs 3 \
  --per_device_train_batch_size 16 \
  --learning_rate 2.5e-4 \
  --block_size 1024 \
  --save_steps 1000 \
  "${flags[@]}"
