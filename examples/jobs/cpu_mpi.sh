#!/usr/bin/env bash
# Processors alone, two processes of one machine, such as one for each socket: bash examples/jobs/cpu_mpi.sh
# On ABCI 3.0: qsub -P GROUP -q rt_HC -l select=1 -l walltime=24:00:00 examples/jobs/cpu_mpi.sh
#
# For processors with AVX512-BF16 or AMX; on others TRAIN_FLAGS="--precision fp32" is faster. DRY_RUN=1 shows the plan.
# Variables: docs/training_examples.md.
set -eo pipefail

if [ -n "$PBS_JOBID" ]; then # within a job of ABCI
  cd "$PBS_O_WORKDIR"
  # shellcheck source=/dev/null
  source /etc/profile.d/modules.sh
  module load hpcx/2.20
  MAX_HOURS=${MAX_HOURS:-23.8} # for walltime=24:00:00
fi
read -r -a train <<<"${TRAIN:-build/bin/train}"
read -r -a flags <<<"${TRAIN_FLAGS---precision bf16}"
if [ -n "$MAX_HOURS" ]; then flags+=(--max_hours "$MAX_HOURS"); fi
if [ "$DRY_RUN" = 1 ]; then flags+=(--dry_run); fi
jobs=$(dirname "$0") # in a job, $0 may be the scheduler's copy
[ -r "$jobs/requeue.bash" ] || jobs=examples/jobs
# shellcheck source=/dev/null
source "$jobs/requeue.bash"
output="${OUTPUT:-output/cpu_mpi}"

# 8 x 2 x 2 = 32 sequences a step; the two processes share the cores, whatever the scheduler calls a slot
run_and_requeue examples/jobs/cpu_mpi.sh "$output" mpirun -n 2 --host localhost:2 --bind-to none "${train[@]}" \
  --model_size_name medium \
  --tokenizer_path "${TOKENIZER:-my_tokenizer}" \
  --pre_tokenized_dataset_path "${DATA:-my_pretokenized_data}" \
  --output_dir "$output" \
  --resume_from_checkpoint latest \
  --num_train_epochs 3 \
  --per_device_train_batch_size 8 \
  --gradient_accumulation_steps 2 \
  --learning_rate 2.5e-4 \
  --block_size 1024 \
  --save_steps 1000 \
  --zero_stage 1 \
  "${flags[@]}"
