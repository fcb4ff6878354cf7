#!/usr/bin/env bash
# Our checkpoints in stock Transformers and llama.cpp, and theirs in our programs: run.sh BIN WHAT
#
#   BIN   folder with our programs
#   WHAT  gemma2_export, gemma2_import, gemma2_text or llama_cpp: a script of this folder
#
# gemma2_text and llama_cpp train a tiny model on this project's pages first (about a minute). PYTHON: a Python with
# torch and transformers, or with llama-cpp-python and gguf; exit status 77 if it has not. MODERNGPT2_INTEROP_MODEL
# names a folder with a model of your own that is used instead, MODERNGPT2_INTEROP_TEXT a text for its perplexity.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
[ $# = 2 ] || {
  echo "usage: run.sh BIN gemma2_export|gemma2_import|gemma2_text|llama_cpp" >&2
  exit 2
}
bin=$(realpath "$1") what=$2 python=${PYTHON:-python3}
export PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1 OMP_WAIT_POLICY=passive
case $what in
  gemma2_export) exec "$python" "$here/gemma2_export.py" "$bin" "$root/tests/data/golden" ;;
  gemma2_import) exec "$python" "$here/gemma2_import.py" "$bin" ;;
  gemma2_text) modules="torch transformers safetensors" ;;
  llama_cpp) modules="numpy safetensors gguf llama_cpp.llama_cpp" ;;
  *)
    echo "run.sh: error: no test '$what'" >&2
    exit 2
    ;;
esac
for module in $modules; do
  "$python" -c "import $module" 2>/dev/null || {
    echo "skipped: $python cannot import $module; name another Python with PYTHON="
    exit 77
  }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
models=()
if [ -n "${MODERNGPT2_INTEROP_MODEL:-}" ]; then
  models=("$MODERNGPT2_INTEROP_MODEL")
else
  # SentencePiece-style with byte fallback, and byte-level BPE with Llama 3's pattern.
  for kind in bpe byte_bpe; do
    "$bin/train_tokenizer" --input "$root"/docs/*.md --model_type $kind --vocab_size 2000 \
      --output_path "$work/tokenizer_$kind" >"$work/log" 2>&1 || { cat "$work/log" >&2 && exit 1; }
    "$bin/train" --input "$root"/docs/*.md --tokenizer_path "$work/tokenizer_$kind" --output_dir "$work/$kind" \
      --n_layer 3 --n_embd 128 --n_head 4 --num_key_value_heads 2 --head_dim 32 --intermediate_size 384 --block_size 128 \
      --n_positions 512 --query_pre_attn_scalar 0.25 --rope_theta 20000 --learning_rate 3e-3 --max_steps 150 \
      --num_train_epochs 100 --save_strategy no --eval_strategy no >"$work/log" 2>&1 || { cat "$work/log" >&2 && exit 1; }
    models+=("$work/$kind")
  done
fi
if [ "$what" = gemma2_text ]; then
  "$python" "$here/gemma2_text.py" "$bin" "${models[@]}"
else
  for model in "${models[@]}"; do
    echo "$model"
    "$python" "$here/llama_cpp_check.py" "$bin" "$model" ${MODERNGPT2_INTEROP_TEXT:+"$MODERNGPT2_INTEROP_TEXT"}
  done
fi
