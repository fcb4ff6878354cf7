#pragma once

#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/run/tokenizer_choice.hpp"

namespace moderngpt2 {

/// Adds --tokenizer_pattern, --eos_token and --eos_token_id: settings that the files of a tokenizer may lack.
inline void add_tokenizer_flags(Options& options, TokenizerChoice& choice) {
  options.add("tokenizer_pattern", choice.pattern, tokenizer_pattern_help).metavar("NAME|REGEX");
  options.add("eos_token", choice.eos_token, eos_token_help).default_text("the tokenizer's");
  options.add("eos_token_id", choice.eos_token_id, eos_token_id_help).at_least(0);
}

}  // namespace moderngpt2
