#!/usr/bin/env bash
# TSUBAME 4.0, one H100 (a quarter of a node): qsub -g GROUP examples/jobs/tsubame4_1gpu.sh
#$ -cwd
#$ -l node_q=1
#$ -l h_rt=24:00:00
#$ -notify
#
# Requires a `train` built with -DMODERNGPT2_CUDA=ON.
# DRY_RUN=1 TRAIN_FLAGS="--precision bf16" bash FILE prints the plan on any machine. Variables:
# docs/training_examples.md
set -eo pipefail

if [ -n "$JOB_ID" ]; then # within a job
  # shellcheck source=/dev/null
  source /etc/profile.d/modules.sh
  module load cuda/12.8.0 openmpi/5.0.7-gcc
fi
read -r -a train <<<"${TRAIN:-build/bin/train}"
read -r -a flags <<<"${TRAIN_FLAGS---device cuda --precision bf16}"
if [ "$DRY_RUN" = 1 ]; then flags+=(--dry_run); fi
jobs=$(dirname "$0") # in a job, $0 may be the scheduler's copy
[ -r "$jobs/requeue.bash" ] || jobs=examples/jobs
# shellcheck source=/dev/null
source "$jobs/requeue.bash"
output="${OUTPUT:-output/tsubame4_1gpu}"

run_and_requeue examples/jobs/tsubame4_1gpu.sh "$output" "${train[@]}" \
  --model_size_name medium \
  --tokenizer_path "${TOKENIZER:-my_tokenizer}" \
  --pre_tokenized_dataset_path "${DATA:-my_pretokenized_data}" \
  --output_dir "$output" \
  --resume_from_checkpoint latest \
  --num_train_epochs 3 \
  --per_device_train_batch_size 32 \
  --learning_rate 2.5e-4 \
  --block_size 1024 \
  --save_steps 1000 \
  --max_hours "${MAX_HOURS:-23.8}" \
  "${flags[@]}"
