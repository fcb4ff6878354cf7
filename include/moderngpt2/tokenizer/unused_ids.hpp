#pragma once

#include <vector>

#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// Ids below `vocab_size`, a model's vocabulary size, without a token: rows that pad the vocabulary to a multiple, and
/// holes in the ids. No training text contains them, but their logits may be the highest: add them to
/// GenerationOptions::suppress_tokens.
inline std::vector<int> unused_ids(const Tokenizer& tokenizer, int vocab_size) {
  std::vector<int> ids;
  for (int id = 0; id < vocab_size; ++id)
    if (!tokenizer.has(id)) ids.push_back(id);
  return ids;
}

}  // namespace moderngpt2
