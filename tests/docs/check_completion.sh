#!/usr/bin/env bash
# Checks manuals and completions: examples use existing flags, bash completes as after a user's Tab, and zsh, fish and
# man read their files if they are installed.
#
#   check_completion.sh FOLDER_OF_PROGRAMS
set -euo pipefail
bin=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
  echo "completion: $*" >&2
  exit 1
}

count=0
for program in "$bin"/*; do
  name=${program##*/}
  grep -qs 'Options options(' "$(dirname "$0")/../../examples/$name.cpp" || continue
  "$program" --completion bash >"$scratch/$name.bash"
  "$program" --completion=zsh >"$scratch/_$name"
  "$program" --completion fish >"$scratch/$name.fish"
  "$program" --help_man >"$scratch/$name.1"
  bash -n "$scratch/$name.bash"
  if command -v zsh >/dev/null; then zsh -n "$scratch/_$name"; fi
  if command -v fish >/dev/null; then fish --no-execute "$scratch/$name.fish"; fi
  if command -v groff >/dev/null; then
    said=$(groff -ww -man -z "$scratch/$name.1" 2>&1)
    [ -z "$said" ] || fail "groff says of $name.1: $said"
  fi
  "$program" --help >"$scratch/help"
  for flag in $("$program" --help_markdown | sed -n '/^```sh/,/^```$/p' | grep -o -e ' --[a-z_0-9]*' || true); do
    grep -qwe "$flag" "$scratch/help" || fail "an example of $name has $flag, which it does not know"
  done
  count=$((count + 1))
done
[ "$count" -gt 0 ] || fail "there are no programs in $bin"
! "$bin/make_stories" --completion tcsh 2>"$scratch/error" || fail "there is a completion for tcsh"
grep -q "not one of bash, zsh, fish" "$scratch/error" || fail "tcsh: $(cat "$scratch/error")"

compopt() { :; } # bash has it only while it completes

# Sets COMPREPLY like bash for the words of a command line; the last word is completed.
complete_words() {
  COMP_WORDS=("$@")
  COMP_CWORD=$(($# - 1))
  COMPREPLY=()
  "_moderngpt2_$1" "$1"
}
offers() { # OFFERS... -- WORDS...
  local expected=()
  while [ "$1" != -- ]; do
    expected+=("$1")
    shift
  done
  shift
  complete_words "$@"
  [ "${COMPREPLY[*]-}" = "${expected[*]-}" ] || fail "after '$*' bash offers '${COMPREPLY[*]-}', not '${expected[*]-}'"
}

cd "$scratch"
mkdir text
touch text.txt 'two words.txt'
for name in train_tokenizer make_stories golden_check; do
  # shellcheck disable=SC1090
  source "$scratch/$name.bash"
done
offers --vocab_size -- train_tokenizer --voc
offers --model_type -- train_tokenizer --input a b --model
offers bpe unigram byte_bpe -- train_tokenizer --model_type ""
offers unigram -- train_tokenizer --model_type = u
offers bpe unigram byte_bpe -- train_tokenizer --model_type =
offers text text.txt -- train_tokenizer --input te
offers text text.txt -- train_tokenizer --input other.txt te
offers "two words.txt" -- train_tokenizer --input = tw
offers text -- train_tokenizer --output_path te
offers -- train_tokenizer --vocab_size te
offers --strict -- train_tokenizer --input a --str
offers --strict -- train_tokenizer --strict --str
offers bash zsh fish -- train_tokenizer --completion ""
offers --documents -- make_stories --langs en --doc
offers text text.txt -- golden_check --backend cpu te
offers --backend -- golden_check text --b
complete_words train_tokenizer ""
[[ " ${COMPREPLY[*]} " == *" --input "* && " ${COMPREPLY[*]} " != *" --no_strict "* ]] || fail "flags: ${COMPREPLY[*]}"
complete -p train_tokenizer >/dev/null || fail "bash does not know whom to ask about train_tokenizer"
echo "$count programs have completions and manual pages"
