#!/usr/bin/env bash
# Checks that jobs which their time limit stops submit themselves again and reach the bits of a run without limit.
# Stand-ins take the place of sbatch, scontrol and qsub, and send the signals.
#
#   requeue.sh FOLDER_OF_PROGRAMS FOLDER_OF_JOBS [MPIEXEC]
set -euo pipefail
bin=$1
jobs=$2
mpiexec=${3:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/here" "$work/stubs"
cd "$work/here"

fail() {
  echo "requeue: $*" >&2
  exit 1
}

"$bin/make_stories" --output_path ../text --documents 100 >/dev/null
"$bin/train_tokenizer" --input ../text --output_path my_tokenizer --vocab_size 600 --character_coverage 0.99 \
  --num_threads 1 >../log.txt 2>&1 || fail "$(tail -n 3 ../log.txt)"
"$bin/pretokenize_dataset" --input ../text --tokenizer_path my_tokenizer --output_path my_pretokenized_data \
  --block_size 64 --num_proc 1 >../log.txt 2>&1 || fail "$(tail -n 3 ../log.txt)"
cat >config.json <<'JSON'
{"model_type": "moderngpt2", "vocab_size": 600, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64,
 "resid_pdrop": 0.1}
JSON

# The TRAIN of the scripts: a small model instead of theirs, in their folder and with their time limit.
cat >../small_train <<STUB
#!/usr/bin/env bash
flags=()
while [ \$# -gt 0 ]; do
  case \$1 in --output_dir | --max_hours | --resume_from_checkpoint) flags+=("\$1" "\$2") ;; esac
  shift
done
exec "$bin/train" --config_file config.json --tokenizer_path my_tokenizer \
  --pre_tokenized_dataset_path my_pretokenized_data --max_steps 300 --save_steps 0 --eval_steps 50 --logging_steps 1 \
  --learning_rate 1e-3 --threads 1 --per_device_train_batch_size 4 "\${flags[@]}"
STUB
# The schedulers: write down the script to submit.
cat >../stubs/qsub <<'STUB'
#!/usr/bin/env bash
echo "$*" >>../queue
STUB
cat >../stubs/scontrol <<'STUB'
#!/usr/bin/env bash
[ "$*" = "requeue $SLURM_JOB_ID" ] && echo requeued >>../queue
STUB
chmod +x ../small_train ../stubs/*
PATH=$work/stubs:$PATH
unset JOB_ID PE_HOSTFILE PBS_JOBID PBS_NODEFILE PBS_O_WORKDIR SLURM_JOB_ID SUBMIT MAX_HOURS TOKENIZER DATA OUTPUT DRY_RUN
export TRAIN=$work/small_train

# submit SCRIPT: starts a job in a process group of its own, as schedulers do.
submit() {
  setsid bash "$jobs/$1.sh" >../job.log 2>&1 &
  job=$!
}
# ends STATUS: waits for the job.
ends() {
  local status=0
  wait "$job" || status=$?
  [ "$status" = "$1" ] || fail "status $status, not $1: $(tail -n 5 ../job.log)"
}
steps_done() { # OUTPUT STEPS: waits for them
  until [ "$(sed -n '/"loss"/p' "$1/metrics.jsonl" 2>/dev/null | wc -l)" -ge "$2" ]; do
    kill -0 "$job" 2>/dev/null || fail "the job has ended before: $(tail -n 5 ../job.log)"
    sleep 0.05
  done
}
same() { cmp "$1/model.safetensors" "$2/model.safetensors" || fail "$2 differs from $1"; }
queued() { [ "$(cat ../queue 2>/dev/null)" = "$1" ] || fail "the queue has: $(cat ../queue ../job.log)"; }

OUTPUT=whole submit cpu
ends 0
[ -s whole/model.safetensors ] || fail "no model: $(tail -n 5 ../job.log)"
queued ""

# Slurm: SIGUSR1 to the shell of the job, twice; the job is requeued, keeps its number, and is resumed.
export SLURM_JOB_ID=17 LAUNCH='' OUTPUT=slurm
submit slurm
steps_done slurm 5
kill -USR1 "$job"
kill -USR1 "$job"
ends 138
queued requeued
rm ../queue
[ ! -e slurm/model.safetensors ] || fail "the job has not been stopped"
submit slurm
ends 0
queued ""
same whole slurm
unset SLURM_JOB_ID LAUNCH

# Grid Engine with -notify: SIGUSR1 to all processes of the job. qsub gets the names of the variables.
export SUBMIT="qsub -g group" OUTPUT=grid
submit tsubame4_1gpu
steps_done grid 5
kill -USR1 -- -"$job"
ends 138
queued "-g group -v SUBMIT,TRAIN,OUTPUT examples/jobs/tsubame4_1gpu.sh"
rm ../queue
# PBS: --max_hours alone. The next job has the same time, and always does a step.
MAX_HOURS=0.0001 submit abci3_1gpu
ends 75
queued "-g group -v SUBMIT,MAX_HOURS,TRAIN,OUTPUT examples/jobs/abci3_1gpu.sh"
rm ../queue
submit tsubame4_1gpu
ends 0
queued ""
same whole grid

# Cancelled jobs save, and are not submitted again: SIGTERM of qdel and scancel, SIGUSR2 of Grid Engine's qdel.
for signal in TERM USR2; do
  OUTPUT=$signal submit tsubame4_1gpu
  steps_done $signal 3
  kill -$signal "$job"
  ends 138
  queued ""
  [ -n "$(find $signal -name 'checkpoint-*')" ] || fail "nothing was saved: $(tail -n 5 ../job.log)"
done
# Neither are those that fail or save nothing.
TRAIN=false OUTPUT=failed submit cpu
ends 1
queued ""
printf '#!/bin/sh\nexit 75\n' >../nothing
chmod +x ../nothing
TRAIN=$work/nothing OUTPUT=nothing submit cpu
ends 75
queued ""

# Two processes.
if [ -n "$mpiexec" ] && "$mpiexec" --version | grep -q -e 'Open MPI' -e OpenRTE; then
  PATH=$(dirname "$mpiexec"):$PATH
  OUTPUT=whole2 submit cpu_mpi
  ends 0
  export OUTPUT=mpi
  submit cpu_mpi
  steps_done mpi 5
  kill -USR1 "$job"
  ends 138
  queued "-g group -v SUBMIT,TRAIN,OUTPUT examples/jobs/cpu_mpi.sh"
  submit cpu_mpi
  ends 0
  same whole2 mpi
fi
echo "requeued jobs reach the bits of one job"
