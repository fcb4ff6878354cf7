#!/usr/bin/env bash
# Checks that losses, golden cases and greedy text are the same when OpenMP's environment variables leave fewer threads
# than --threads requests.
#
#   openmp.sh FOLDER_OF_PROGRAMS FOLDER_OF_GOLDEN_CASES
set -euo pipefail
bin=$1
golden=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unset "${!OMP_@}" "${!GOMP_@}" "${!KMP_@}"
export OMP_WAIT_POLICY=passive  # threads that wait leave the cores to other tests

fail() {
  echo "openmp: $*" >&2
  exit 1
}

"$bin/make_stories" --output_path text --documents 60 >/dev/null
"$bin/train_tokenizer" --input text --output_path tok --vocab_size 600 --model_type bpe --character_coverage 0.99 \
  --num_threads 1 >tok.log 2>&1 || fail "$(tail -n 3 tok.log)"
"$bin/pretokenize_dataset" --input text --tokenizer_path tok --output_path blocks --block_size 16 >blocks.log 2>&1 ||
  fail "$(tail -n 3 blocks.log)"
cat >config.json <<'JSON'
{"model_type": "moderngpt2", "vocab_size": 600, "n_positions": 256, "n_embd": 64, "n_layer": 2, "n_head": 4,
 "num_key_value_heads": 2, "resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0}
JSON

prompt=$(printf 'Once there was a small boy who went home. %.0s' 1 2 3 4 5 6)  # long enough for several threads
losses() { sed -n 's/.*"loss":\([^,}]*\).*/\1/p' "$1/metrics.jsonl"; }

# run VARIABLES NAME: with these environment variables, trains into NAME, generates with the model of the first run, and
# runs golden cases.
# shellcheck disable=SC2086 # VARIABLES may be several
run() {
  local set=$1 out=$2
  env $set "$bin/train" --threads 2 --config_file config.json --tokenizer_path tok --pre_tokenized_dataset_path blocks \
    --output_dir "$out" --max_steps 3 --logging_steps 1 --learning_rate 1e-3 >"$out.log" 2>&1 ||
    fail "$set: train: $(tail -n 3 "$out.log")"
  env $set "$bin/generate" --threads 2 --model_path plain --prompt "$prompt" --max_new_tokens 12 \
    --no_do_sample >"$out.txt" 2>"$out.err" || fail "$set: generate: $(tail -n 3 "$out.err")"
  env $set "$bin/golden_check" --backend cpu --threads 2 "$golden/gqa_softcap" "$golden/padded" >"$out.golden" ||
    fail "$set: golden_check: $(grep -m 3 FAIL "$out.golden")"
}

run A=1 plain
[ "$(losses plain | wc -l)" = 3 ] || fail "not three losses: $(cat plain/metrics.jsonl)"
number=0
for set in OMP_NUM_THREADS=1 OMP_THREAD_LIMIT=1 OMP_DYNAMIC=true OMP_MAX_ACTIVE_LEVELS=0 OMP_NUM_THREADS=4,2 \
  "OMP_NUM_THREADS=2,2 OMP_THREAD_LIMIT=1" "OMP_MAX_ACTIVE_LEVELS=2 OMP_NUM_THREADS=8"; do
  out=limited-$((number += 1))
  run "$set" "$out"
  paste <(losses plain) <(losses "$out") |
    awk '{ d = $1 - $2; if (NF != 2 || d > 1e-6 * $1 || d < -1e-6 * $1) bad = 1 } END { exit bad }' ||
    fail "$set: losses $(losses "$out" | tr '\n' ' '), without it $(losses plain | tr '\n' ' ')"
  cmp plain.txt "$out.txt" || fail "$set: the text differs"
  case $set in
    OMP_THREAD_LIMIT*) reason="OMP_THREAD_LIMIT is 1" ;;
    OMP_MAX_ACTIVE_LEVELS=0) reason="OMP_MAX_ACTIVE_LEVELS is 0" ;;
    *) continue ;;
  esac
  for log in "$out.log" "$out.err"; do
    grep -q "OpenMP gives 1 of 2 threads: $reason" "$log" || fail "$set: no note in $(cat "$log")"
  done
done

# waits_as VARIABLE: prints the variables about spinning that a program has, started with VARIABLE set.
waits_as() {
  local pid
  mkfifo prompt
  env -u OMP_WAIT_POLICY "$1" "$bin/generate" --model_path plain <prompt >/dev/null 2>&1 &
  pid=$!
  exec 9>prompt
  rm prompt
  for _ in $(seq 100); do # env, the program, and the program that it started again
    if [ "$(readlink "/proc/$pid/exe")" = "$(readlink -f "$bin/generate")" ] &&
      { [ "$1" != A=1 ] || grep -q GOMP_SPINCOUNT "/proc/$pid/environ"; }; then break; fi
    sleep 0.1
  done
  tr '\0' '\n' <"/proc/$pid/environ" | grep -E '^(OMP_WAIT|GOMP_SPIN|KMP_BLOCK)' | sort | tr '\n' ' '
  exec 9>&-
  wait "$pid" || true
}
case $(waits_as A=1) in
  *GOMP_SPINCOUNT=1000*) ;;
  *) fail "threads spin for as long as the runtime likes: $(waits_as A=1)" ;;
esac
[ "$(waits_as OMP_WAIT_POLICY=active)" = "OMP_WAIT_POLICY=active " ] || fail "a typed OMP_WAIT_POLICY does not stand"
echo "equal losses, text and golden cases with every variable"
