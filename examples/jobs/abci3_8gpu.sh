#!/usr/bin/env bash
# ABCI 3.0, the eight H200 of a node: qsub -P GROUP examples/jobs/abci3_8gpu.sh
# or of four nodes: qsub -P GROUP -l select=4 examples/jobs/abci3_8gpu.sh
#PBS -q rt_HF
#PBS -l select=1
#PBS -l walltime=24:00:00
#
# Requires a `train` built with -DMODERNGPT2_CUDA=ON.
# DRY_RUN=1 TRAIN_FLAGS="--precision bf16" bash FILE prints the plan on any machine. Variables:
# docs/training_examples.md
set -eo pipefail

if [ -n "$PBS_JOBID" ]; then # within a job
  cd "$PBS_O_WORKDIR"
  # shellcheck source=/dev/null
  source /etc/profile.d/modules.sh
  module load cuda/12.6/12.6.1 hpcx/2.20
fi
read -r -a train <<<"${TRAIN:-build/bin/train}"
read -r -a flags <<<"${TRAIN_FLAGS---device cuda --precision bf16}"
if [ "$DRY_RUN" = 1 ]; then flags+=(--dry_run); fi
jobs=$(dirname "$0") # in a job, $0 may be the scheduler's copy
[ -r "$jobs/requeue.bash" ] || jobs=examples/jobs
# shellcheck source=/dev/null
source "$jobs/requeue.bash"
output="${OUTPUT:-output/abci3_8gpu}"

export LD_LIBRARY_PATH=$LD_LIBRARY_PATH # libraries of the modules, for all nodes
nodes=1
launch=(mpirun -npernode 8 -x LD_LIBRARY_PATH)
if [ -r "$PBS_NODEFILE" ]; then # names a node once or more
  hosts=${PBS_LOCALDIR:?}/hosts
  sort -u "$PBS_NODEFILE" | awk '{print $1 " slots=8"}' >"$hosts"
  nodes=$(wc -l <"$hosts")
  launch+=(--hostfile "$hosts")
fi

run_and_requeue examples/jobs/abci3_8gpu.sh "$output" "${launch[@]}" -np $((8 * nodes)) "${train[@]}" \
  --model_size_name medium \
  --tokenizer_path "${TOKENIZER:-my_tokenizer}" \
  --pre_tokenized_dataset_path "${DATA:-my_pretokenized_data}" \
  --output_dir "$output" \
  --resume_from_checkpoint latest \
  --num_train_epochs 3 \
  --per_device_train_batch_size 64 \
  --learning_rate 2.5e-4 \
  --block_size 1024 \
  --save_steps 1000 \
  --zero_stage 1 \
  --max_hours "${MAX_HOURS:-23.8}" \
  "${flags[@]}"
