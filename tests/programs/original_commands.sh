#!/usr/bin/env bash
# Checks the command lines of the Python original (its README, its training examples, the flags of its four programs),
# with renamed programs and without the launcher's words. Each must be accepted, print its plan, and write no files.
#
#   original_commands.sh FOLDER_OF_PROGRAMS FOLDER_OF_EXAMPLES
set -euo pipefail
bin=$1
examples=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/here"
cd "$work/here"

fail() {
  echo "original_commands: $*" >&2
  exit 1
}

# Small but valid versions of the commands' inputs.
"$bin/make_stories" --output_path ../text --documents 300 >/dev/null
"$bin/train_tokenizer" --input_file ../text --output_path my_tokenizer --vocab_size 600 --character_coverage 0.99 \
  --num_threads 1 >../log.txt 2>&1 || fail "$(tail -n 3 ../log.txt)"
"$bin/pretokenize_dataset" --input ../text --tokenizer_path my_tokenizer --output_path my_pretokenized_data \
  --num_proc 1 >../log.txt 2>&1 || fail "$(tail -n 3 ../log.txt)"
mkdir -p path/to/your
cp -r my_tokenizer path/to/your/tokenizer
cp "$examples/ds_config_zero1.json" "$examples/accelerate_config.yaml" .
printf 'train: [my_pretokenized_data/shard_00000.parquet]\n' >metadata.yaml
find . | sort >../before.txt

# understood WORD... -- PROGRAM ARGUMENT...: a dry run that succeeds, prints each WORD and writes no files.
understood() {
  local words=()
  while [ "$1" != -- ]; do
    words+=("$1")
    shift
  done
  shift
  local program=$1
  shift
  "$bin/$program" "$@" --dry_run >../out.txt 2>&1 || fail "$program $*: $(tail -n 3 ../out.txt)"
  for word in ${words[@]+"${words[@]}"}; do
    grep -q -- "$word" ../out.txt || fail "$program $* does not say '$word': $(cat ../out.txt)"
  done
  find . | sort | cmp - ../before.txt || fail "$program $* has written something"
}

# ---- README.md

understood "would read nothing" "streaming c4 (en, ja, ko, zh)" "32000 tokens to ./my_tokenizer" -- train_tokenizer \
  --output_path ./my_tokenizer \
  --vocab_size 32000 \
  --max_train_lines 1000000 \
  --special_tokens "<|endoftext|>" "<unk>" "<pad>"

understood "streaming c4 (en, ja)" "200000 blocks of 1024 tokens" -- pretokenize_dataset \
  --tokenizer_path ./my_tokenizer \
  --output_path ./my_pretokenized_data_of_c4 \
  --block_size 1024 \
  --max_samples_per_shard 200000 \
  --c4_langs "en" "ja" \
  --max_input_lines_total 5000000

understood "fp16 needs --device cuda" "ZeRO stage 1" "learning rate 0.00025" "16 x 1 accumulated" "total" -- train \
  --deepspeed \
  --deepspeed_config "ds_config_zero1.json" \
  --model_size_name "medium" \
  --tokenizer_path "./my_tokenizer" \
  --pre_tokenized_dataset_path "./my_pretokenized_data" \
  --output_dir "output/model" \
  --num_train_epochs 3 \
  --per_device_train_batch_size 16 \
  --learning_rate 2.5e-4 \
  --ds_config "ds_config_zero1.json" \
  --fp16 \
  --gradient_accumulation_steps 1

understood "fp16 needs --device cuda" "ZeRO stage 1" "3 epochs" -- train \
  --model_size_name "medium" \
  --tokenizer_path "./my_tokenizer" \
  --pre_tokenized_dataset_path "./my_pretokenized_data" \
  --output_dir "output/multi_gpu_model" \
  --ds_config "ds_config_zero1.json" \
  --num_train_epochs 3 \
  --per_device_train_batch_size 16 \
  --learning_rate 2.5e-4 \
  --fp16 \
  --gradient_accumulation_steps 1

# ---- training_examples.md

for batch in 32 64 16; do
  understood "streaming c4" "ZeRO stage 1" "$batch x 1 accumulated" "total" -- train \
    --deepspeed \
    --deepspeed_config "ds_config_zero1.json" \
    --model_size_name "medium" \
    --tokenizer_path "path/to/your/tokenizer" \
    --output_dir "output/zero1" \
    --num_train_epochs 3 \
    --per_device_train_batch_size "$batch" \
    --learning_rate 2.5e-4 \
    --report_to "wandb" \
    --block_size 1024
done

understood "ZeRO stage 1" "32 x 1 accumulated" "3 epochs" -- train \
  --model_size_name "medium" \
  --tokenizer_path "./my_tokenizer" \
  --pre_tokenized_dataset_path "./my_pretokenized_data" \
  --output_dir "output/tsubame4_4h100_zero1" \
  --num_train_epochs 3 \
  --per_device_train_batch_size 32 \
  --learning_rate 2.5e-4 \
  --deepspeed_config "ds_config_zero1.json" \
  --report_to "wandb" \
  --block_size 1024

understood "streaming c4" "ZeRO stage 1" "64 x 1 accumulated" -- train \
  --model_size_name "medium" \
  --tokenizer_path "path/to/your/tokenizer" \
  --output_dir "output/abci3_8h200_zero1" \
  --num_train_epochs 3 \
  --per_device_train_batch_size 64 \
  --learning_rate 2.5e-4 \
  --deepspeed_config "ds_config_zero1.json" \
  --report_to "wandb" \
  --block_size 1024

# ---- every flag of the original's programs

understood "would read" -- train_tokenizer --input_file ../text --output_path trained_tokenizer_spm --vocab_size 32000 \
  --special_tokens "<|endoftext|>" "<unk>" "<pad>" --character_coverage 0.98 --max_sentence_length 16384 --num_threads 8

understood "note: --language" "note: --save_every_n_lines" -- pretokenize_dataset --tokenizer_path my_tokenizer \
  --output_path new --block_size 1024 --max_samples_per_shard 200000 --dataset_streaming --c4_langs en ja ko zh \
  --language en --max_input_lines_total 100 --num_proc 2 --num_workers 2 --save_every_n_lines 1000 --resume \
  --interleave_by_document --documents_per_batch 1000 --process_languages_separately --max_memory_gb 8.0 \
  --memory_check_interval 1000 --batch_size 1000 --writer_batch_size 1000 --save_batch_size 100000
understood "note: --no_dataset_streaming" "would read" -- pretokenize_dataset --tokenizer_path my_tokenizer \
  --output_path new --no_dataset_streaming --input ../text

understood "note: --torch_compile" "note: --dataloader_pin_memory" "tf32 needs --device cuda" "steps: 7" -- train --model_size_name small \
  --tokenizer_path my_tokenizer --output_dir output_dir --num_train_epochs 1 --max_steps 7 --total_train_samples 100 \
  --per_device_train_batch_size 8 --per_device_eval_batch_size 8 --learning_rate 2.5e-4 --warmup_ratio 0.05 \
  --weight_decay 0.01 --lr_scheduler_type cosine --logging_steps 500 --save_steps 5000 --eval_steps 500 \
  --save_total_limit 10 --report_to none --wandb_project moderngpt2 --wandb_entity e --wandb_run_name n \
  --ds_config ds_config_zero1.json --streaming_eval_samples 1000 --block_size 1024 --metadata_file metadata.yaml \
  --local_rank -1 --gradient_accumulation_steps 1 --tf32 True --gradient_checkpointing --torch_compile \
  --torch_compile_backend inductor --torch_compile_mode default --dataloader_num_workers 4 \
  --dataloader_prefetch_factor 2 --dataloader_pin_memory --warmup_steps 3 --max_grad_norm 1.0 \
  --dataset_cache_dir .dataset_cache --use_dataset_cache --clear_dataset_cache --streaming --force_no_streaming
understood "ZeRO stage 1" -- train --bf16 --tokenizer_path my_tokenizer --accelerate_config accelerate_config.yaml \
  --deepspeed ds_config_zero1.json

# Flags of Hugging Face's Trainer and run_clm.py (all of them: tests/cli/hugging_face_flags_test.cpp).
understood "note: --do_train" "note: --optim: AdamW" "note: --disable_tqdm" "4 x 1 accumulated" "5 steps of warm-up" -- train \
  --tokenizer_name my_tokenizer --pre_tokenized_dataset_path my_pretokenized_data --do_train --do_eval \
  --per-device-train-batch-size 4 --optim adamw_torch_fused --overwrite_output_dir --ddp_find_unused_parameters False \
  --disable_tqdm True --no_remove_unused_columns --warmup_steps 0.1 --max_steps 50 --run_name first --ddp_timeout 60

# example.py is a chat with a model.
"$bin/train" --tokenizer_path my_tokenizer --input ../text --n_layer 1 --n_embd 32 --n_head 2 --max_steps 1 \
  --block_size 64 --output_dir ../model >../log.txt 2>&1 || fail "$(tail -n 3 ../log.txt)"
printf 'Once\nquit\n' | "$bin/generate" --model_path ../model --device cpu --interactive --max_new_tokens 3 \
  >../chat.txt 2>&1 || fail "$(tail -n 3 ../chat.txt)"

# ---- refused command lines

# refused STATUS WORD PROGRAM ARGUMENT...
refused() {
  local status=$1 word=$2 got=0
  shift 2
  "$bin/$1" "${@:2}" --output_dir nothing >../out.txt 2>../err.txt || got=$?
  [ "$got" = "$status" ] || fail "$* ended with status $got, not $status: $(cat ../err.txt)"
  grep -q -- "$word" ../err.txt || fail "$* does not say '$word': $(cat ../err.txt)"
  [ ! -e nothing ] || fail "$* left something behind"
}
data=(--tokenizer_path my_tokenizer --pre_tokenized_dataset_path my_pretokenized_data)
refused 2 "streaming c4 (en, ja, ko, zh) from the Hub is not supported yet" train --tokenizer_path my_tokenizer
refused 2 "streaming fineweb2 (ja) from the Hub" train --tokenizer_path my_tokenizer --dataset fineweb2 --c4_langs ja
refused 2 "language 'xx'" train --tokenizer_path my_tokenizer --c4_langs xx
refused 2 "fp16 needs --device cuda.*bf16" train "${data[@]}" --fp16
refused 2 "--cudnn_attention needs --device cuda" train "${data[@]}" --cudnn_attention
refused 2 "choose one precision" train "${data[@]}" --fp16 --bf16
refused 2 "--deepspeed needs" train "${data[@]}" --deepspeed
refused 2 "local_rank 1" train "${data[@]}" --local_rank 1
refused 2 "--input is for text" train "${data[@]}" --input ../text
refused 2 "--eval_fraction is for text" train "${data[@]}" --eval_fraction 0.1
refused 2 "both given" train "${data[@]}" --deepspeed a.json --ds_config b.json
refused 1 "missing.json" train "${data[@]}" --deepspeed_config missing.json
refused 2 "only AdamW.*Leave" train "${data[@]}" --optim adafactor
refused 2 "hf upload" train "${data[@]}" --push_to_hub
refused 2 "no option --learnign_rate; did you mean --learning_rate" train "${data[@]}" --learnign_rate 1
printf '{"fp16": {"enabled": true}, // typical\n "train_micro_batch_size_per_gpu": 4}' >../fp16.json
refused 2 "fp16 needs --device cuda" train "${data[@]}" --deepspeed_config ../fp16.json
refused 2 "contradict" train "${data[@]}" --deepspeed_config ../fp16.json --per_device_train_batch_size 2
echo "each command of the original is understood"
