#!/usr/bin/env bash
# Converts models with convert_checkpoint like a user: every direction, element types, shards, refusals, Ctrl-C.
#
#   convert.sh FOLDER_OF_PROGRAMS GOLDEN_CASES
set -euo pipefail
bin=$1
golden=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
  echo "convert: $*" >&2
  exit 1
}
convert() { "$bin/convert_checkpoint" "$@" >out.log 2>err.log; }
done_well() { convert "$@" || fail "convert_checkpoint $*: $(cat err.log)"; }
# refused STATUS PART ARGUMENTS...: the program ends with STATUS and one error line that contains PART.
refused() {
  local status=0 wanted=$1 part=$2
  shift 2
  convert "$@" || status=$?
  [ "$status" = "$wanted" ] || fail "convert_checkpoint $*: status $status, expected $wanted: $(cat err.log)"
  grep -q -- "$part" err.log || fail "convert_checkpoint $* says '$(cat err.log)', not '$part'"
  [ "$(grep -c ': error: ' err.log)" = 1 ] || fail "convert_checkpoint $*: not one line: $(cat err.log)"
}

# Every direction, compared by --verify and at the end bit for bit.
case=$golden/gqa_softcap
done_well --input "$case" --output gemma --format gemma2 --verify
grep -q "^verified: 48 tokens" out.log || fail "--verify said: $(cat out.log)"
grep -q "moderngpt2 to gemma2, f32" out.log || fail "the summary is: $(cat out.log)"
done_well --input gemma --output gemma.gguf --verify
done_well --input gemma.gguf --output back --format moderngpt2 --verify
done_well --input back --output again --format gemma2
done_well --input again --output mine/model/ --format moderngpt2
cmp back/model.safetensors mine/model/model.safetensors || fail "the weights differ after the round trip"
done_well --input "$case/model.safetensors" --output from_file
cmp back/model.safetensors from_file/model.safetensors || fail "the weights of a file differ from those of its folder"
"$bin/generate" --model_path gemma --prompt x >generate.log 2>&1 && fail "a model without tokenizer generated"

for type in f16 bf16 q8_0 q4_0; do
  done_well --input "$case" --output "model-$type.gguf" --dtype "$type" --verify
done
for type in f16 bf16; do
  done_well --input "$case" --output "gemma-$type" --format gemma2 --dtype "$type" --verify
done
done_well --input "$case" --output shards --max_shard_size 20KB --verify
[ -e shards/model.safetensors.index.json ] && [ ! -e shards/model.safetensors ] || fail "no shards: $(ls shards)"
done_well --input shards --output joined
cmp back/model.safetensors joined/model.safetensors || fail "the weights differ after the shards"
mkdir empty
done_well --input "$case" --output empty

refused 1 "not empty" --input "$case" --output shards
refused 1 "exists already" --input "$case" --output gemma.gguf
refused 1 "Not a directory" --input "$case" --output gemma.gguf/x --format gemma2
refused 1 "absent" --input absent --output new
refused 1 "ModernGPT2DoubleHeadsModel" --input "$golden/head_double" --output new --format gemma2
refused 1 "activation_function" --input "$golden/relu" --output new.gguf
refused 2 "--dtype q8_0" --input "$case" --output new --dtype q8_0
refused 2 "max_shard_size" --input "$case" --output new --max_shard_size many
refused 2 "--input" --output new
[ ! -e new ] && [ ! -e new.gguf ] || fail "a refused conversion wrote something"
[ -z "$(find . -name '.*' ! -name .)" ] || fail "left behind: $(find . -name '.*')"
