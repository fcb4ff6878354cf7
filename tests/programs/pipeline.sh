#!/usr/bin/env bash
# Runs the programs from text to a model that generates, like a user, on small inputs. Written files must be complete, a
# converted tokenizer equal to the trained one, and a resumed run equal to an uninterrupted one.
#
#   pipeline.sh FOLDER_OF_PROGRAMS
set -euo pipefail
bin=$1
encodings=$(cd "$(dirname "$0")/../data/encodings" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
  echo "pipeline: $*" >&2
  exit 1
}
same() { cmp "$1" "$2" || fail "$1 and $2 differ"; }

"$bin/make_stories" --output_path text --documents 300 >/dev/null
for model_type in bpe unigram; do
  "$bin/train_tokenizer" --input text --output_path "$model_type" --vocab_size 600 --model_type "$model_type" \
    --character_coverage 0.99 --num_threads 1 >"$model_type.log" 2>&1 || fail "$(tail -n 3 "$model_type.log")"
  # This text has no digits: a unigram tokenizer.json takes "<0x41>" for the byte token, as convert_tokenizer says.
  "$bin/convert_tokenizer" --spm_model "$model_type/tokenizer.model" --output_dir "converted-$model_type" --inexact \
    >convert.log 2>&1
  grep -qE "600 tokens|<0x41>" convert.log || fail "convert_tokenizer said: $(cat convert.log)"
  for file in tokenizer.model tokenizer.json tokenizer_config.json special_tokens_map.json; do
    same "$model_type/$file" "converted-$model_type/$file"
  done
done

"$bin/pretokenize_dataset" --input text --tokenizer_path bpe --output_path blocks --block_size 64 \
  --eval_fraction 0.1 >pretokenize.log 2>&1 || fail "$(tail -n 3 pretokenize.log)"
[ -s blocks/shard_00000.parquet ] && [ -s blocks/eval/shard_00000.parquet ] || fail "no shards"

cat >config.json <<'JSON'
{"model_type": "moderngpt2", "vocab_size": 600, "n_embd": 32, "n_layer": 2, "n_head": 4, "num_key_value_heads": 2,
 "head_dim": 8, "intermediate_size": 64, "n_positions": 256, "resid_pdrop": 0.1}
JSON
train() {
  "$bin/train" --config_file config.json --tokenizer_path bpe --pre_tokenized_dataset_path blocks --max_steps 6 \
    --save_steps 3 --logging_steps 1 --eval_steps 3 --per_device_train_batch_size 4 --warmup_steps 2 \
    --learning_rate 1e-2 "$@" >train.log 2>&1 || fail "$(tail -n 3 train.log)"
}
train --output_dir whole
train --output_dir resumed --dry_run
[ ! -e resumed ] || fail "--dry_run has written something"
train --output_dir resumed --bf16 --device cuda --dry_run --gpu_memory 24GiB --gpu_flops 1e14
for part in "on cuda" "of 24.00 GiB, and CUDA about" "it fits" "with --gradient_checkpointing: batches of up to" " for 6 steps at"; do
  grep -q -e "$part" train.log || fail "the plan for a GPU lacks '$part': $(cat train.log)"
done
mkdir resumed
cp -r whole/checkpoint-3 resumed/
train --output_dir resumed --resume_from_checkpoint latest
same whole/model.safetensors resumed/model.safetensors
same whole/checkpoint-6/model.safetensors resumed/checkpoint-6/model.safetensors
[ "$(grep -c '"eval_loss"' whole/metrics.jsonl)" = 2 ] || fail "two evaluations belong in metrics.jsonl"
train --model_path whole --output_dir evaluated --eval_only
grep -q "evaluation loss" train.log || fail "--eval_only said: $(cat train.log)"

# Shards need no tokenizer; the model is the same.
train_on_shards() {
  "$bin/train" --config_file config.json --pre_tokenized_dataset_path blocks --max_steps 6 --save_steps 3 \
    --logging_steps 1 --eval_steps 3 --per_device_train_batch_size 4 --warmup_steps 2 --learning_rate 1e-2 "$@" \
    >train.log 2>&1 || fail "$(tail -n 3 train.log)"
}
train_on_shards --eos_token_id 2 --pad_token_id 0 --output_dir untokenized
same whole/model.safetensors untokenized/model.safetensors
[ ! -e untokenized/tokenizer.json ] || fail "there was no tokenizer to copy"
"$bin/generate" --model_path untokenized --tokenizer_path bpe --prompt "Once" --max_new_tokens 3 >generate.log 2>&1 ||
  fail "$(cat generate.log)"

# Files of ranks: read as they are, copied as they are, converted.
for byte in $(seq 0 255); do
  printf '%s %d\n' "$(printf "\\x$(printf %02x "$byte")" | base64)" "$byte"
done >own.tiktoken
"$bin/convert_tokenizer" --tokenizer_path own.tiktoken --tokenizer_pattern '\w+|\W' --output_dir ranks >convert.log 2>&1 ||
  fail "$(cat convert.log)"
grep -q "256 ids, same ids" convert.log || fail "convert_tokenizer said: $(cat convert.log)"
"$bin/train" --input text --tokenizer_path own.tiktoken --tokenizer_pattern '\w+|\W' --eos_token_id 0 --n_layer 1 --n_embd 16 \
  --n_head 2 --block_size 64 --pad_vocab_multiple 100 --max_steps 2 --output_dir of_ranks >train.log 2>&1 ||
  fail "$(tail -n 3 train.log)"
same own.tiktoken of_ranks/own.tiktoken
grep -q '"vocab_size": 300' of_ranks/config.json || fail "the vocabulary is not padded"
"$bin/generate" --model_path of_ranks --tokenizer_pattern '\w+|\W' --prompt "Once" --max_new_tokens 20 >generate.log 2>&1 ||
  fail "$(cat generate.log)"

"$bin/generate" --model_path whole --prompt "Once there was" --max_new_tokens 12 --do_sample --seed 3 >first.txt
"$bin/generate" --model_path whole --prompt "Once there was" --max_new_tokens 12 --do_sample --seed 3 >second.txt
same first.txt second.txt
[ -s first.txt ] || fail "generate wrote nothing"

train --bf16 --output_dir bf16
train --bf16 --output_dir bf16_resumed --dry_run
grep -q "fp32 masters" train.log || fail "--bf16 --dry_run said: $(cat train.log)"
mkdir bf16_resumed
cp -r bf16/checkpoint-3 bf16_resumed/
train --precision bf16 --output_dir bf16_resumed --resume_from_checkpoint latest
same bf16/model.safetensors bf16_resumed/model.safetensors
for model in whole bf16; do
  "$bin/generate" --bf16 --model_path $model --prompt "Once there was" --max_new_tokens 12 --seed 3 >bf16.txt 2>err.txt
  [ -s bf16.txt ] || fail "generate --bf16 wrote nothing: $(cat err.txt)"
done

# Other heads, starting from the language model: rows, scores and predictions of each task.
rows() { for i in $(seq 40); do printf "$1\n" "$((i % 2))"; done >"$2.jsonl"; }
rows '{"text": "story", "label": %s}' sequence-classification
rows '{"tokens": ["a", "b%s"], "ner_tags": ["O", "B-X"]}' token-classification
rows '{"question": "who", "context": "there was %s once", "answers": {"text": ["once"], "answer_start": [12]}}' \
  question-answering
rows '{"question": "who?", "choices": ["he", "she"], "label": %s}' multiple-choice
for task in sequence-classification:accuracy token-classification:f1 question-answering:exact_match \
  multiple-choice:accuracy; do
  score=${task#*:} task=${task%:*}
  train_head() {
    "$bin/train" --task "$task" --max_steps 2 --logging_steps 1 --per_device_train_batch_size 4 \
      --block_size 64 "$@" >train.log 2>&1 || fail "$task: $(tail -n 3 train.log)"
  }
  train_head --model_path whole --input "$task.jsonl" --output_dir "$task"
  grep -q "the transformer's weights are loaded" train.log || fail "$task: no line about the weights"
  # The last step is evaluated, long before the 500 steps of --eval_steps.
  [ "$(grep -c "\"step\":2.*\"eval_$score\"" "$task/metrics.jsonl")" = 1 ] || fail "$task: no eval_$score at step 2"
  train_head --model_path "$task" --eval_input "$task.jsonl" --eval_only --predictions_file "$task.out"
  [ "$(wc -l <"$task.out")" = 40 ] || fail "$task: not 40 predictions"
  sed 's/, "\(label\|ner_tags\|answers\)": .*/}/' "$task.jsonl" >unlabelled.jsonl
  train_head --model_path "$task" --eval_input unlabelled.jsonl --eval_only --predictions_file unlabelled.out
  grep -q "40 rows have no label" train.log || fail "$task: no line about the labels: $(cat train.log)"
  [ "$(grep -c '"prediction' unlabelled.out)" = 40 ] || fail "$task: not 40 predictions without labels"
  if grep -q '"label\|"answers' unlabelled.out; then fail "$task: labels from nowhere"; fi
done

# A folder as the Hub has it, lists of objects, and languages by flag.
mkdir hub
printf '[\n{"text": "a story told"},\n{"text": "another one", "n": NaN}\n]\n' >hub/train.json
printf '{"text": "held back"}\n' >hub/validation.jsonl
printf '{"text": "never read"}\n' >hub/test.jsonl
pretokenize() {
  "$bin/pretokenize_dataset" --tokenizer_path bpe --block_size 2 "$@" >pretokenize.log 2>&1 ||
    fail "$(tail -n 3 pretokenize.log)"
}
pretokenize --input hub --output_path hub_blocks
grep -q "1 file of a test set: not used (test.jsonl)" pretokenize.log || fail "no line: $(cat pretokenize.log)"
grep -q "documents: 3" hub_blocks/metadata.yaml || fail "not 3 documents: $(cat hub_blocks/metadata.yaml)"
[ -s hub_blocks/eval/shard_00000.parquet ] || fail "validation.jsonl is not in eval/"
pretokenize --languages ja=hub/train.json en=hub/test.jsonl hub/validation.jsonl --output_path two_languages
grep -A1 '"en"' two_languages/metadata.yaml | grep -q "documents: 2" || fail "$(cat two_languages/metadata.yaml)"
name=$(printf 'caf\xe9.jsonl')
cp hub/train.json "$name"
pretokenize --input "$name" --output_path named --max_samples_per_shard 1

# A model that a program saves with its tokenizer.
"$bin/save_model" bpe saved || fail "save_model"
"$bin/generate" --model_path saved --prompt "Once there was" --max_new_tokens 5 >saved.txt 2>err.txt ||
  fail "generate with a saved model: $(cat err.txt)"
[ -s saved.txt ] || fail "generate with a saved model wrote nothing"

"$bin/plot_loss" --metrics_file whole/metrics.jsonl --output_path loss.svg >/dev/null
grep -q "</svg>" loss.svg || fail "plot_loss wrote no picture"

# Wrong usage: exit status, one line that names the cause, and no files written.
mistake() {
  local status=$1 word=$2 got=0
  shift 2
  "$bin/$1" "${@:2}" >out.txt 2>err.txt || got=$?
  [ "$got" = "$status" ] || fail "$* ended with status $got, not $status"
  grep -q -- "$word" err.txt || fail "$* does not name $word: $(cat err.txt)"
  [ ! -e nothing ] || fail "$* left something behind"
}
mistake 2 "--output_path" pretokenize_dataset --output_pathh nothing
mistake 1 "missing.txt" pretokenize_dataset --input missing.txt --tokenizer_path bpe --output_path nothing
mistake 1 "missing.model" convert_tokenizer --spm_model missing.model --output_dir nothing
mistake 1 "config.json" convert_tokenizer --spm_model config.json --output_dir nothing
mistake 2 "--output_dir" convert_tokenizer --spm_model bpe/tokenizer.model
mistake 2 "one of --spm_model and --tokenizer_path" convert_tokenizer --output_dir nothing
mistake 1 "already" convert_tokenizer --tokenizer_path bpe --output_dir nothing
mistake 1 "hf download nobody/nothing" train --input text --tokenizer_path nobody/nothing --output_dir nothing
mkdir no_metadata
cp blocks/shard_00000.parquet no_metadata/
mistake 2 "--vocab_size" train --pre_tokenized_dataset_path no_metadata --model_size_name small --output_dir nothing
mistake 1 "no-such-token" pretokenize_dataset --input text --tokenizer_path bpe --eos_token no-such-token --output_path nothing
mistake 1 "config.json" generate --model_path bpe --prompt x
mistake 2 "--model_path" generate --prompt x
mistake 2 "--precision bf16" generate --fp16 --model_path whole --prompt x
mistake 2 "--precision bf16" train --fp16 --pre_tokenized_dataset_path blocks --output_dir nothing
mistake 2 "choose one precision" train --fp16 --bf16 --pre_tokenized_dataset_path blocks --output_dir nothing
mistake 1 "ModernGPT2ForTokenClassification" generate --model_path token-classification --prompt x
mistake 2 "--input" train --task multiple-choice --model_path whole --output_dir nothing

# Text that is not UTF-8: the programs name the file, the line and the encoding. Under the limit, it is a warning.
sjis=$encodings/sjis.txt utf16=$encodings/utf16.txt
mistake 1 "sjis.txt:1: the file is not UTF-8.*iconv -f SHIFT-JIS -t UTF-8" \
  train_tokenizer --input "$sjis" --output_path nothing --vocab_size 300
if "$bin/pretokenize_dataset" --input "$utf16" --tokenizer_path bpe --output_path any --block_size 64 >out.txt \
  2>err.txt; then fail "pretokenize_dataset accepts UTF-16"; fi
grep -q "looks like UTF-16" err.txt || fail "pretokenize_dataset said: $(cat err.txt)"
[ -z "$(ls -A any)" ] || fail "pretokenize_dataset left $(ls -A any)"
refused() {
  if "$bin/train" --config_file config.json --tokenizer_path bpe --block_size 64 --max_steps 1 --output_dir other \
    "$@" >out.txt 2>err.txt; then fail "train $* accepts it"; fi
}
refused --input "$sjis"
grep -q "sjis.txt:1: .*(--max_invalid_utf8).*SHIFT-JIS" err.txt || fail "train said: $(cat err.txt)"
LC_ALL=C sed 's/}/, "note": "\xe9"}/' sequence-classification.jsonl >latin.jsonl
refused --task sequence-classification --model_path whole --input latin.jsonl
grep -q "latin.jsonl:1: the line is not UTF-8" err.txt || fail "train said: $(cat err.txt)"
"$bin/pretokenize_dataset" --input "$sjis" --tokenizer_path bpe --output_path any --block_size 64 \
  --max_invalid_utf8 1 >out.txt 2>err.txt || fail "pretokenize_dataset --max_invalid_utf8 1: $(cat err.txt)"
grep -q "bytes of this file are not UTF-8" err.txt || fail "no warning: $(cat err.txt)"
# A model with layers of a program of the user's own.
mkdir foreign
cp whole/*.* foreign/
sed -i '0,/{/s//{"blocks": {"attention": {"type": "sliding_window", "window": 64}},/' foreign/config.json
mistake 1 "^generate: error: foreign: blocks.attention is .*sliding_window" generate --model_path foreign --prompt x
for data in "--pre_tokenized_dataset_path blocks" "--dry_run"; do
  mistake 1 "foreign/config.json: blocks.attention is .*sliding_window" train --model_path foreign $data \
    --tokenizer_path bpe --output_dir nothing
  mistake 1 "foreign/config.json: blocks.attention is .*sliding_window" train --config_file foreign/config.json $data \
    --tokenizer_path bpe --output_dir nothing
done
echo "text, tokenizers, blocks, a model, its resumption and its words: all as they should be"
