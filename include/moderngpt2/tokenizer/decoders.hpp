#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/decoders/byte_decoders.hpp"
#include "moderngpt2/tokenizer/decoders/character_decoders.hpp"
#include "moderngpt2/tokenizer/decoders/decoder_state.hpp"
#include "moderngpt2/tokenizer/decoders/word_decoders.hpp"

namespace moderngpt2::detail {

/// Table of the decoders of a tokenizer.json, besides Sequence (see read_step).
using AnyDecoder = std::variant<ByteLevelDecoder, ByteFallbackDecoder, FuseDecoder, ReplaceDecoder, StripDecoder,
                                MetaspaceDecoder, WordPieceDecoder, BpeDecoder, CtcDecoder>;

/// Decoders of a tokenizer.json in order: tokens to text, with the results of Hugging Face `tokenizers`. Without a
/// decoder, spaces separate tokens. Immutable and thread-safe; a Run holds the state of one text.
class Decoders {
 public:
  Decoders() = default;
  /// `decoder` may be null.
  explicit Decoders(const Component& decoder);

  const std::vector<AnyDecoder>& steps() const { return steps_; }

  /// When and in which form text is returned.
  enum class Mode {
    whole,     ///< the text of all tokens, as `tokenizers` decodes it
    streamed,  ///< parts, each as soon as it cannot change. In a run of byte tokens that is not UTF-8, whole characters
               ///< before the first error remain
    alone      ///< bytes that each token adds to a text with other tokens before it
  };

  /// State of decoding one text. Refers to the decoders, which must outlive it.
  class Run {
   public:
    Run(const Decoders& decoders, Mode mode);

    /// Decodes a token. Appends to `text` what can no longer change.
    void put(std::string_view token, std::string& text) { put(0, token, text); }
    /// Appends the remaining text after the last token.
    void finish(std::string& text);

   private:
    void put(std::size_t step, std::string_view token, std::string& text);

    const Decoders* decoders_;
    std::vector<DecoderState> states_;
    bool first_ = true;
  };

  /// Bytes that a token adds to a text that has other tokens before it.
  std::string text_of(std::string_view token) const;

 private:
  /// Whether the steps from index `step` on give the same text if a token arrives in parts.
  bool work_in_chunks(std::size_t step) const;

  std::vector<AnyDecoder> steps_;
  bool joins_with_spaces_ = true;
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE Decoders::Decoders(const Component& decoder) : joins_with_spaces_(decoder.json().is_null()) {
  constexpr std::size_t most = 100;
  const std::vector<Component> list = decoder.steps("decoders");
  if (list.size() > most) decoder.fail("has {} steps; at most {} are supported", list.size(), most);
  for (const Component& step : list) steps_.push_back(read_step(step, std::type_identity<AnyDecoder>()));
}

MODERNGPT2_INLINE bool Decoders::work_in_chunks(std::size_t step) const {
  for (; step < steps_.size(); ++step) {
    const AnyDecoder& decoder = steps_[step];
    if (const auto* replace = std::get_if<ReplaceDecoder>(&decoder); replace && !replace->works_in_chunks())
      return false;
    if (!std::holds_alternative<FuseDecoder>(decoder) && !std::holds_alternative<StripDecoder>(decoder) &&
        !std::holds_alternative<MetaspaceDecoder>(decoder) && !std::holds_alternative<ReplaceDecoder>(decoder))
      return false;
  }
  return true;
}

MODERNGPT2_INLINE Decoders::Run::Run(const Decoders& decoders, Mode mode)
    : decoders_(&decoders), states_(decoders.steps_.size()), first_(mode != Mode::alone) {
  const auto& steps = decoders.steps_;
  bool in_chunks = false;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    states_[i].in_chunks = in_chunks;
    states_[i].alone = mode == Mode::alone;
    if (mode == Mode::alone) states_[i].count = 1;
    if (std::holds_alternative<ByteLevelDecoder>(steps[i]) || std::holds_alternative<FuseDecoder>(steps[i])) {
      states_[i].early = decoders.work_in_chunks(i + 1);
      in_chunks |= states_[i].early;
    } else if (std::holds_alternative<ByteFallbackDecoder>(steps[i])) {
      // The next step must not see that a run of bytes has several parts.
      const bool last = i + 1 == steps.size();
      states_[i].early =
          mode == Mode::streamed &&
          (last || (std::holds_alternative<FuseDecoder>(steps[i + 1]) && decoders.work_in_chunks(i + 1)));
    }
  }
}

MODERNGPT2_INLINE void Decoders::Run::put(std::size_t step, std::string_view token, std::string& text) {
  if (step == decoders_->steps_.size()) {
    if (decoders_->joins_with_spaces_ && !first_) text += ' ';
    first_ = false;
    text += token;
    return;
  }
  std::visit(
      [&](const auto& decoder) {
        decoder.put(token, states_[step], [&](std::string_view part) { put(step + 1, part, text); });
      },
      decoders_->steps_[step]);
}

MODERNGPT2_INLINE void Decoders::Run::finish(std::string& text) {
  for (std::size_t step = 0; step < states_.size(); ++step)
    std::visit(
        [&](const auto& decoder) {
          decoder.finish(states_[step], [&](std::string_view part) { put(step + 1, part, text); });
        },
        decoders_->steps_[step]);
}

MODERNGPT2_INLINE std::string Decoders::text_of(std::string_view token) const {
  Run run(*this, Mode::alone);
  std::string text;
  run.put(token, text);
  run.finish(text);
  return text;
}

}  // namespace moderngpt2::detail

#endif
