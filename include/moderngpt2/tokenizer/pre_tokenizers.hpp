#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/byte_level.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/characters.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/metaspace.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/piece.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/piece_batch.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/split.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/unicode_scripts.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/whitespace.hpp"

namespace moderngpt2::detail {

/// Table of the pre-tokenizers of a tokenizer.json, besides Sequence (see read_step).
using AnyPreTokenizer =
    std::variant<ByteLevelPreTokenizer, SplitPreTokenizer, MetaspacePreTokenizer, PunctuationPreTokenizer,
                 DigitsPreTokenizer, WhitespacePreTokenizer, WhitespaceSplitPreTokenizer, BertPreTokenizer,
                 CharDelimiterSplitPreTokenizer, UnicodeScriptsPreTokenizer, FixedLengthPreTokenizer>;

/// Pre-tokenizer of a tokenizer.json: splits a text into the pieces that the model encodes. Each step splits the pieces
/// of the one before. Memory does not depend on the number of pieces.
class PreTokenizers {
 public:
  PreTokenizers() = default;

  /// Reads a pre-tokenizer, a Sequence, or null.
  explicit PreTokenizers(const Component& component);

  /// Splits by a pattern of byte-level BPE, such as that of a tiktoken file, and emits bytes. `where` begins errors.
  PreTokenizers(std::string_view pattern, PatternDialect dialect, const std::string& where) {
    steps_.emplace_back(SplitPreTokenizer(pattern, dialect, where));
    active_ = 1;
  }

  /// Calls emit(const Pieces&) for all pieces, in order, several at a time. Their text is valid during the call only.
  template <class Emit>
  void operator()(Piece piece, Emit&& emit) const {
    if (piece.text.empty()) return;
    PieceBatch batch(piece.text, emit);
    run(piece, 0, batch);
    batch.flush();
  }

  bool empty() const { return steps_.empty(); }
  const std::vector<AnyPreTokenizer>& steps() const { return steps_; }

  /// If ByteLevel is the last step, makes it emit bytes in place of their characters. Returns whether it is.
  bool emit_bytes();

 private:
  // A step may lengthen a text by a constant factor: limit the number of such steps.
  static constexpr std::size_t most_steps = 16, most_rewriting_steps = 4;

  template <class Emit>
  void run(Piece piece, std::size_t step, PieceBatch<Emit>& batch) const {
    if (step == active_) return batch.add(piece.text);
    std::visit(
        [&](const auto& current) {
          if (step + 1 == active_)
            current(piece, [&](const Piece& part) { batch.add(part.text); });
          else
            current(piece, [&](const Piece& part) { run(part, step + 1, batch); });
        },
        steps_[step]);
  }

  std::vector<AnyPreTokenizer> steps_;
  std::size_t active_ = 0;  // number of steps to run: a last one that changes nothing is left out
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE PreTokenizers::PreTokenizers(const Component& component) {
  const std::vector<Component> parts = component.steps("pretokenizers");
  if (parts.size() > most_steps) component.fail("has {} steps, at most {} are supported", parts.size(), most_steps);
  std::size_t rewriting = 0;
  for (const Component& part : parts) {
    steps_.push_back(read_step(part, std::type_identity<AnyPreTokenizer>()));
    const AnyPreTokenizer& step = steps_.back();
    if (std::holds_alternative<ByteLevelPreTokenizer>(step) || std::holds_alternative<MetaspacePreTokenizer>(step))
      ++rewriting;
  }
  if (rewriting > most_rewriting_steps)
    component.fail("has {} steps of the types ByteLevel and Metaspace, at most {} are supported", rewriting,
                   most_rewriting_steps);
  active_ = steps_.size();
}

MODERNGPT2_INLINE bool PreTokenizers::emit_bytes() {
  if (steps_.empty()) return false;
  auto* last = std::get_if<ByteLevelPreTokenizer>(&steps_.back());
  if (!last) return false;
  last->emit_bytes();
  if (last->is_identity()) active_ = steps_.size() - 1;
  return true;
}

}  // namespace moderngpt2::detail

#endif
