#!/usr/bin/env bash
# Weak scaling from one process to two on two cores: each process has a core of its own, one thread and the same batch.
# `tiny` (4 layers, n_embd 256) in fp32, ZeRO stage 1, alternating runs. Prints tokens/s as medians over the steps of
# all rounds, and the efficiency of two processes.
#
#   benchmarks/weak_scaling.sh [--bin DIR] [--rounds N] [--steps N] [--batch N] [--block_size N]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bin=$root/build/bin
rounds=3
steps=12
batch=4
block_size=256
while [ $# -gt 0 ]; do
  [ $# -gt 1 ] || { echo "weak_scaling.sh: $1 needs a value" >&2; exit 2; }
  case $1 in
    --bin) bin=$2 ;;
    --rounds) rounds=$2 ;;
    --steps) steps=$2 ;;
    --batch) batch=$2 ;;
    --block_size) block_size=$2 ;;
    *)
      echo "weak_scaling.sh: there is no option $1" >&2
      exit 2
      ;;
  esac
  shift 2
done
bin=$(cd "$bin" && pwd)
for program in make_stories train_tokenizer pretokenize_dataset train; do
  [ -x "$bin/$program" ] && continue
  echo "weak_scaling.sh: $bin/$program is not there: build it, or name its folder by --bin" >&2
  exit 2
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

"$bin/make_stories" --output_path text --documents 2000 >/dev/null
fail() {
  tail -n 5 log >&2
  exit 1
}
"$bin/train_tokenizer" --input text --output_path tokenizer --vocab_size 1000 --character_coverage 0.99 >log 2>&1 || fail
"$bin/pretokenize_dataset" --input text --tokenizer_path tokenizer --output_path blocks --block_size "$block_size" \
  >log 2>&1 || fail
cat >config.json <<JSON
{"model_type": "moderngpt2", "vocab_size": 1000, "n_embd": 256, "n_layer": 4, "n_head": 4, "n_positions": $block_size}
JSON
export OMP_NUM_THREADS=1
# Local rank, by the environment variables of Open MPI, MPICH and Slurm.
# shellcheck disable=SC2016
pinned='exec taskset -c "${OMPI_COMM_WORLD_LOCAL_RANK:-${MPI_LOCALRANKID:-${SLURM_LOCALID:-0}}}" "$@"'

run() { # PROCESSES
  local launcher=()
  [ "$1" = 1 ] || launcher=(mpirun -n "$1")
  rm -rf out
  "${launcher[@]}" bash -c "$pinned" - "$bin/train" --config_file config.json --tokenizer_path tokenizer \
    --pre_tokenized_dataset_path blocks --output_dir out --max_steps "$steps" --logging_steps 1 --eval_steps 0 \
    --save_steps 0 --per_device_train_batch_size "$batch" --threads 1 --zero_stage 1 >log 2>&1 || fail
  sed -n 's/.*"step":\([0-9]*\),.*"tokens_per_second":\([0-9.]*\).*/\1 \2/p' out/metrics.jsonl |
    awk '$1 > 2 {print $2}' >>"speed-$1"
}
median() { sort -n "$1" | awk '{v[NR] = $1} END {print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2}'; }

for _ in $(seq "$rounds"); do
  run 1
  run 2
done
one=$(median speed-1)
two=$(median speed-2)
echo "tokens a second, medians of $(wc -l <speed-1) steps: 1 process $one, 2 processes $two, $(
  awk -v a="$one" -v b="$two" 'BEGIN {printf "%.0f", 50 * b / a}')% of twice as many"
