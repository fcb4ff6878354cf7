#pragma once

#include <variant>

#include "moderngpt2/tokenizer/models/affix_bpe.hpp"
#include "moderngpt2/tokenizer/models/bpe.hpp"
#include "moderngpt2/tokenizer/models/byte_bpe.hpp"
#include "moderngpt2/tokenizer/models/unigram.hpp"
#include "moderngpt2/tokenizer/models/word_piece.hpp"

namespace moderngpt2::detail {

/// Model of a tokenizer. Each has `encode(piece, ids)`, which is safe to call from many threads; those of byte pair
/// encoding also have `encode_with_dropout(piece, ids, dropout, random)`.
using AnyModel = std::variant<BpeModel, ByteBpeModel, AffixBpeModel, UnigramModel, WordPieceModel, WordLevelModel>;

}  // namespace moderngpt2::detail
