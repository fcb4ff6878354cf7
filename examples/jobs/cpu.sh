#!/usr/bin/env bash
# Processors alone, one process: bash examples/jobs/cpu.sh
# On ABCI 3.0: qsub -P GROUP -q rt_HC -l select=1 -l walltime=24:00:00 examples/jobs/cpu.sh
#
# For processors with AVX512-BF16 or AMX; on others TRAIN_FLAGS="--precision fp32" is faster. DRY_RUN=1 shows the plan.
# Variables: docs/training_examples.md.
set -eo pipefail

cd "${PBS_O_WORKDIR:-.}"
if [ -n "$PBS_JOBID" ]; then MAX_HOURS=${MAX_HOURS:-23.8}; fi # for walltime=24:00:00
read -r -a train <<<"${TRAIN:-build/bin/train}"
read -r -a flags <<<"${TRAIN_FLAGS---precision bf16}"
if [ -n "$MAX_HOURS" ]; then flags+=(--max_hours "$MAX_HOURS"); fi
if [ "$DRY_RUN" = 1 ]; then flags+=(--dry_run); fi
jobs=$(dirname "$0") # in a job, $0 may be the scheduler's copy
[ -r "$jobs/requeue.bash" ] || jobs=examples/jobs
# shellcheck source=/dev/null
source "$jobs/requeue.bash"
output="${OUTPUT:-output/cpu}"

# 8 x 4 = 32 sequences a step
run_and_requeue examples/jobs/cpu.sh "$output" "${train[@]}" \
  --model_size_name medium \
  --tokenizer_path "${TOKENIZER:-my_tokenizer}" \
  --pre_tokenized_dataset_path "${DATA:-my_pretokenized_data}" \
  --output_dir "$output" \
  --resume_from_checkpoint latest \
  --num_train_epochs 3 \
  --per_device_train_batch_size 8 \
  --gradient_accumulation_steps 4 \
  --learning_rate 2.5e-4 \
  --block_size 1024 \
  --save_steps 1000 \
  "${flags[@]}"
