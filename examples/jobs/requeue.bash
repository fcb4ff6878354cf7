# Functions of the job scripts, which source this file.

newest_checkpoint() { { find "$1" -maxdepth 1 -name 'checkpoint-*' 2>/dev/null || true; } | sort -V | tail -n 1; }

# Submits the script again: with the command in SUBMIT and the variables of this job, or by Slurm's requeue.
submit_again() {
  local names=() name
  for name in SUBMIT MAX_HOURS LAUNCH TRAIN TRAIN_FLAGS TOKENIZER DATA OUTPUT; do
    [ -z "${!name+set}" ] || names+=("$name")
  done
  if [ -n "$SUBMIT" ]; then
    local submit
    read -r -a submit <<<"$SUBMIT"
    (
      IFS=,
      export "${names[@]}"
      "${submit[@]}" -v "${names[*]}" "$1"
    )
  elif [ -n "$SLURM_JOB_ID" ]; then
    scontrol requeue "$SLURM_JOB_ID"
  else
    echo "submit $1 again to continue (with SUBMIT set, jobs submit themselves: docs/training_examples.md)"
  fi
}

# run_and_requeue SCRIPT OUTPUT COMMAND...: runs the command and returns its status. The scheduler's warnings reach the
# shell of the job, which passes them on; `train` saves a checkpoint and ends. If --max_hours (status 75) or SIGUSR1
# stopped the run, SCRIPT is submitted again, unless the run has saved nothing. A run that ended by itself, failed or
# was cancelled (SIGTERM, SIGINT, or SIGUSR2, which Grid Engine sends before qdel's SIGKILL) is not submitted again.
run_and_requeue() {
  local script=$1 output=$2 before child code status=0 came='' warned='' cancelled=''
  before=$(newest_checkpoint "$output")
  "${@:3}" &
  child=$!
  # SIGUSR1 for all: mpirun passes it on, but kills the processes one second after SIGTERM, and at SIGHUP and SIGXCPU.
  trap 'came=1 warned=1; kill -USR1 "$child" 2>/dev/null' USR1 XCPU
  trap 'came=1 cancelled=1; kill -USR1 "$child" 2>/dev/null' USR2 TERM INT HUP
  while :; do
    came=
    code=0
    wait "$child" || code=$?
    [ "$code" = 127 ] || status=$code # 127: it has ended before
    [ -n "$came" ] || break           # wait ends at a signal too
  done
  trap - USR1 USR2 XCPU TERM INT HUP
  if [ -n "$cancelled" ]; then
    echo "cancelled: submit $script again to continue"
  elif [ "$status" = 75 ] || { [ -n "$warned" ] && [ "$status" -gt 128 ]; }; then
    if [ "$(newest_checkpoint "$output")" = "$before" ]; then
      echo "no checkpoint was written in this job: not submitted again" >&2
    else
      submit_again "$script" || echo "$script could not be submitted again" >&2
    fi
  fi
  return "$status"
}
