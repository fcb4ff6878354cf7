#!/usr/bin/env bash
# Checks `train` with 1, 2, 3 and 4 MPI processes: equal losses, bit-identical repeats, checkpoints that any number of
# processes can resume, messages printed once, and endings on which all ranks agree.
#
#   ranks.sh FOLDER_OF_PROGRAMS MPIEXEC
set -euo pipefail
bin=$1
mpiexec=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
  echo "ranks: $*" >&2
  exit 1
}
same() { cmp "$1" "$2" || fail "$1 and $2 differ"; }

"$bin/make_stories" --output_path text --documents 200 >/dev/null
"$bin/train_tokenizer" --input text --output_path tokenizer --vocab_size 600 --character_coverage 0.99 --num_threads 1 \
  >tokenizer.log 2>&1 || fail "$(tail -n 3 tokenizer.log)"
"$bin/pretokenize_dataset" --input text --tokenizer_path tokenizer --output_path blocks --block_size 64 \
  --eval_fraction 0.1 >pretokenize.log 2>&1 || fail "$(tail -n 3 pretokenize.log)"
cat >config.json <<'JSON'
{"model_type": "moderngpt2", "vocab_size": 600, "n_embd": 32, "n_layer": 2, "n_head": 4, "num_key_value_heads": 2,
 "head_dim": 8, "intermediate_size": 64, "n_positions": 256, "resid_pdrop": 0.1}
JSON

# train PROCESSES FLAGS...: 12 sequences per step for any number of processes.
train() {
  local processes=$1
  shift
  local launcher=()
  [ "$processes" = 1 ] || launcher=("$mpiexec" -n "$processes")
  "${launcher[@]}" "$bin/train" --config_file "${config:-config.json}" --tokenizer_path tokenizer \
    --pre_tokenized_dataset_path blocks --max_steps "${steps:-50}" --save_steps "${save:-25}" --logging_steps 1 \
    --eval_steps 25 --per_device_train_batch_size "${batch:-1}" \
    --gradient_accumulation_steps "${accumulated:-$((12 / processes))}" --lr_scheduler_type constant_with_warmup \
    --warmup_steps 2 --learning_rate 1e-3 --threads 1 --collective_timeout "${timeout_s:-60}" "$@" >train.log 2>&1
}
losses() { # OUTPUT: step and loss of each line that has one, with every digit
  sed -n 's/.*"\(eval_\)\?loss":\([^,}]*\).*/\1 \2/p' "$1/metrics.jsonl"
}
close() { # OUTPUT OUTPUT: losses within 1e-6 of each other
  [ "$(losses "$1" | wc -l)" = "$(losses "$2" | wc -l)" ] || fail "$1 and $2 have other numbers of lines"
  paste <(losses "$1") <(losses "$2") | awk '{a = $(NF/2); b = $NF; d = a > b ? a - b : b - a
    if (d > 1e-6 * a) {print a, b; exit 1}}' || fail "the losses of $1 and $2 differ"
}

train 1 --output_dir one || fail "$(tail -n 3 train.log)"
[ "$(losses one | wc -l)" = 52 ] || fail "52 losses belong in one/metrics.jsonl"
for run in "2 0" "2 1" "2 2" "3 1" "4 2" "2 3" "3 3"; do
  read -r processes stage <<<"$run"
  train "$processes" --zero_stage "$stage" --output_dir "$processes-$stage" || fail "$run: $(tail -n 3 train.log)"
  close one "$processes-$stage"
  [ "$(grep -c '^the model is in' train.log)" = 1 ] || fail "more than one process speaks: $(cat train.log)"
  [ "$(grep -c '^step 50/50 ' train.log)" = 1 ] || fail "more than one process logs: $(cat train.log)"
done
[ -s 3-1/checkpoint-50/optimizer-rank-00003-of-00003.safetensors ] || fail "a process has no file of its own"
train 2 --output_dir again --trace trace.json --check_replicas_steps 10
same 2-1/model.safetensors again/model.safetensors
close 2-1 again
# Overlap of communication and computation: reductions begin during a pass, and new weights arrive in the next one.
for rank in 0 1; do
  python3 - "trace-rank-$rank.json" <<'PYTHON' || fail "the trace of rank $rank"
import json, sys
spans = [e for e in json.load(open(sys.argv[1])) if e.get("ph") == "X"]
named = lambda text: [(e["ts"], e["ts"] + e["dur"]) for e in spans if text in e["name"]]
passes, sums, gathers = named("forward and backward"), named("reduce-scatter of bucket"), named("all-gather of bucket")
within = lambda moment: any(begin <= moment <= end for begin, end in passes)
begun = sum(within(begin) for begin, end in sums)
ended = sum(within(end) for begin, end in gathers)
print(f"{begun} of {len(sums)} sums begin in a pass, {ended} of {len(gathers)} all-gathers end in one")
sys.exit(not (begun >= len(sums) / 2 > 0 and ended >= len(gathers) / 2 > 0))
PYTHON
done

# Another task: windows of questions are padded and scored like in one process.
for i in $(seq 60); do
  printf '{"id": "%s", "question": "what does %s eat?", "context": "%s eats %s and sleeps. %s", ' "$i" "$i" "$i" \
    "apples number $i" "$(printf 'word %.0s' $(seq $((i % 7))))"
  printf '"answers": {"text": ["apples number %s"], "answer_start": [%s]}}\n' "$i" $((${#i} + 6))
done >questions.jsonl
for processes in 1 2; do
  launcher=()
  [ "$processes" = 1 ] || launcher=("$mpiexec" -n "$processes")
  "${launcher[@]}" "$bin/train" --task question-answering --input questions.jsonl --doc_stride 16 \
    --config_file config.json --tokenizer_path tokenizer --block_size 64 --max_steps 12 --logging_steps 1 \
    --eval_steps 4 --learning_rate 1e-3 --per_device_train_batch_size $((4 / processes)) \
    --per_device_eval_batch_size 2 --threads 1 --output_dir "questions-$processes" >train.log 2>&1 || fail "questions, $processes: $(tail -n 3 train.log)"
done
close questions-1 questions-2
scores() { sed -n 's/.*\("eval_exact_match":[^,}]*\).*\("eval_f1":[^,}]*\).*/\1 \2/p' "$1/metrics.jsonl"; }
[ "$(scores questions-1 | wc -l)" = 3 ] || fail "three evaluations belong in questions-1/metrics.jsonl"
[ "$(scores questions-1)" = "$(scores questions-2)" ] || fail "scores: $(scores questions-1) and $(scores questions-2)"

# The memory of a process is within 5% of the plan: weights, gradients and moments of 14 million parameters.
cat >large.json <<'JSON'
{"model_type": "moderngpt2", "vocab_size": 600, "n_embd": 384, "n_layer": 6, "n_head": 6, "n_positions": 64}
JSON
mib() { sed -n "s/^memory: \\([0-9.]*\\) MiB planned, \\([0-9.]*\\) MiB in RAM at most.*/\\1 \\2/p" train.log; }
for run in "1 0" "2 1" "2 2"; do
  read -r processes stage <<<"$run"
  config=large.json steps=2 save=2 batch=2 accumulated=1 train "$processes" --zero_stage "$stage" \
    --output_dir "large-$processes-$stage" || fail "$run: $(tail -n 3 train.log)"
  mib | awk '{d = $2 / $1 - 1; exit !(d < 0.05 && d > -0.05)}' || fail "memory of $run: $(mib)"
done

# From 3 processes to 1, 2 and 3; with 2 processes, another ZeRO stage.
for processes in 1 2 3; do
  mkdir "resumed-$processes"
  cp -r 3-1/checkpoint-25 "resumed-$processes/"
  stage=$((processes == 2 ? 3 : 1))
  train "$processes" --zero_stage $stage --output_dir "resumed-$processes" --resume_from_checkpoint latest ||
    fail "resumed by $processes: $(tail -n 3 train.log)"
  close 3-1 "resumed-$processes"
done
same 3-1/model.safetensors resumed-3/model.safetensors

# Sharded weights, resumed from one process, with sampling and evaluation.
mkdir resumed-sharded
cp -r one/checkpoint-25 resumed-sharded/
train 2 --zero_stage 3 --output_dir resumed-sharded --resume_from_checkpoint latest --sample_prompts "Once upon a time" ||
  fail "resumed by 2 with stage 3: $(tail -n 3 train.log)"
close one resumed-sharded
[ "$(wc -l <resumed-sharded/samples.jsonl)" = 1 ] || fail "a sample belongs in resumed-sharded/samples.jsonl"
train 2 --zero_stage 3 --eval_only --model_path one || fail "evaluated by 2 with stage 3: $(tail -n 3 train.log)"
grep -q '^evaluation loss' train.log || fail "no evaluation was said: $(cat train.log)"

# Errors are printed once, and all ranks end.
! train 2 --output_dir wrong --no_such_flag || fail "a wrong flag was taken"
[ "$(grep -c 'error: there is no option --no_such_flag' train.log)" = 1 ] || fail "said: $(cat train.log)"
! train 2 --output_dir wrong --resume_from_checkpoint nowhere || fail "a wrong checkpoint was taken"
[ "$(grep -c 'error: nowhere: no complete checkpoint' train.log)" = 1 ] || fail "said: $(cat train.log)"

# SIGTERM to one process: all ranks save the same step.
steps=100000 train 2 --output_dir stopped &
job=$!
until [ -s stopped/metrics.jsonl ] || ! kill -0 $job 2>/dev/null; do sleep 0.1; done
kill -TERM "$(pgrep -f "$bin/train .*--output_dir stopped" | tail -n 1)"
! wait $job || fail "a stopped run ends with status 0"
step=$(sed -n 's/^stopped at step \([0-9]*\) of.*/\1/p' train.log)
[ -s "stopped/checkpoint-$step/trainer_state.json" ] || fail "no checkpoint of the step it stopped at: $(cat train.log)"

# SIGUSR1 to mpirun, twice as from a job script and its scheduler: all ranks save the same step and name the signal.
save=0 steps=100000 train 2 --output_dir warned &
job=$!
until [ -s warned/metrics.jsonl ] || ! kill -0 $job 2>/dev/null; do sleep 0.1; done
mpiexec_process=$(pgrep -f "$mpiexec .*--output_dir warned" | head -n 1)
kill -USR1 "$mpiexec_process"
kill -USR1 "$mpiexec_process" 2>/dev/null || true
status=0
wait $job || status=$?
[ "$status" = 138 ] || fail "SIGUSR1 ends with status $status: $(tail -n 3 train.log)"
last=$(sed -n 's/^stopped at step \([0-9]*\) of 100000 by SIGUSR1: .*/\1/p' train.log)
[ -s "warned/checkpoint-$last/trainer_state.json" ] || fail "no checkpoint of the step it stopped at: $(cat train.log)"
[ "$(grep -c '^train: received SIGUSR1: ' train.log)" = 1 ] || fail "said: $(cat train.log)"

# --max_hours: all ranks stop after the same step, with a status of its own.
status=0
save=0 steps=100000 train 2 --output_dir limited --max_hours 0.0006 || status=$?
[ "$status" = 75 ] || fail "--max_hours ends with status $status: $(tail -n 3 train.log)"
last=$(sed -n 's/^stopped at step \([0-9]*\) of 100000 by --max_hours: .*/\1/p' train.log)
[ -s "limited/checkpoint-$last/trainer_state.json" ] || fail "no checkpoint of the step it stopped at: $(cat train.log)"

# SIGSTOP of one process: the others wait for --collective_timeout, name it and end the job.
steps=100000 timeout_s=2 train 3 --output_dir hung &
job=$!
until [ -s hung/metrics.jsonl ] || ! kill -0 $job 2>/dev/null; do sleep 0.1; done
stopped=$(pgrep -f "$bin/train .*--output_dir hung" | tail -n 1)
kill -STOP "$stopped"
began=$SECONDS
! wait $job || fail "a run that hung ends with status 0"
[ $((SECONDS - began)) -le 10 ] || fail "it took $((SECONDS - began)) s to end"
# One of the others may be one collective ahead. When continued to be killed, the stopped process may print a line too.
late='in step [0-9]* has not finished within 2 s: .*rank [0-2] does not answer (it is stopped, or busy with something else)'
[ "$(grep -c "^rank [0-2]: .* $late" train.log)" -ge 2 ] || fail "said: $(tail -n 20 train.log)"
for _ in $(seq 50); do ! kill -0 "$stopped" 2>/dev/null || sleep 0.1; done
! kill -0 "$stopped" 2>/dev/null || fail "the stopped process is still there"

# SIGKILL of one process: the job ends, and the resumed run equals an uninterrupted one.
steps=100000 save=5 train 2 --output_dir killed &
job=$!
until [ -d killed/checkpoint-10 ] || ! kill -0 $job 2>/dev/null; do sleep 0.05; done
kill -KILL "$(pgrep -f "$bin/train .*--output_dir killed" | tail -n 1)"
! wait $job || fail "a killed run ends with status 0"
last=$(find killed -maxdepth 1 -name 'checkpoint-*' | sed 's/.*-//' | sort -n | tail -n 1)
for output in killed straight; do
  steps=$((last + 10)) train 2 --output_dir $output --resume_from_checkpoint latest || fail "$(tail -n 3 train.log)"
done
same killed/model.safetensors straight/model.safetensors
