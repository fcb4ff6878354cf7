#!/usr/bin/env bash
# Slurm, four GPUs of a node: sbatch examples/jobs/slurm.sh, or of two nodes: sbatch --nodes=2 examples/jobs/slurm.sh
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#
# 300 seconds before the time limit Slurm sends SIGUSR1 to this script: the run saves a checkpoint, and the job is
# requeued. Requires a `train` built with -DMODERNGPT2_CUDA=ON.
# DRY_RUN=1 TRAIN_FLAGS="--precision bf16 --world_size 4" LAUNCH= bash FILE prints the plan on any machine. Variables:
# docs/training_examples.md
set -eo pipefail

read -r -a train <<<"${TRAIN:-build/bin/train}"
read -r -a launch <<<"${LAUNCH-srun --mpi=pmix}"
read -r -a flags <<<"${TRAIN_FLAGS---device cuda --precision bf16}"
if [ -n "$MAX_HOURS" ]; then flags+=(--max_hours "$MAX_HOURS"); fi
if [ "$DRY_RUN" = 1 ]; then flags+=(--dry_run); fi
jobs=$(dirname "$0") # in a job, $0 is the scheduler's copy
[ -r "$jobs/requeue.bash" ] || jobs=examples/jobs
# shellcheck source=/dev/null
source "$jobs/requeue.bash"
output=${OUTPUT:-output/slurm}

run_and_requeue examples/jobs/slurm.sh "$output" "${launch[@]}" "${train[@]}" \
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
  --zero_stage 1 \
  "${flags[@]}"
