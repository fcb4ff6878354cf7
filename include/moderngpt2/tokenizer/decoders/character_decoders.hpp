#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/decoders/decoder_state.hpp"
#include "moderngpt2/tokenizer/decoders/word_decoders.hpp"
#include "moderngpt2/tokenizer/normalizers/replace.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/metaspace.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2::detail {

/// Decoder Replace: replaces a text or the matches of a regular expression in each token.
struct ReplaceDecoder {
  static constexpr std::string_view type = "Replace";

  explicit ReplaceDecoder(const Component& component) : replace_(component) {}

  /// Whether a token may arrive in parts: true if no match spans two characters.
  bool works_in_chunks() const {
    const auto& text = replace_.pattern();
    return text && !text->empty() && utf8_length((*text)[0]) == text->size();
  }

  template <class Emit>
  void put(std::string_view token, DecoderState&, Emit&& emit) const {
    // Several steps could lengthen a text without bound.
    constexpr std::size_t longest = std::size_t{1} << 30;
    if (token.size() > longest / (replace_.content().size() + 1))
      throw Error("tokenizer: the decoder makes a text of {} bytes more than {} bytes long", token.size(), longest);
    std::string storage;
    emit(replace_(token, storage));
  }
  template <class Emit>
  void finish(DecoderState&, Emit&&) const {}

 private:
  ReplaceNormalizer replace_;
};

/// Decoder Metaspace: replaces space marks by spaces. Removes those of the first token, unless prepend_scheme is never.
struct MetaspaceDecoder {
  static constexpr std::string_view type = "Metaspace";

  explicit MetaspaceDecoder(const Component& component) {
    component.expect({"replacement", "prepend_scheme", "add_prefix_space", "split", "str_rep"});
    mark_ = read_character(component, "replacement");
    const auto scheme = component.get_or<std::string>("prepend_scheme", "always");
    if (scheme != "always" && scheme != "first" && scheme != "never")
      component.fail("prepend_scheme must be \"always\", \"first\" or \"never\", found {}", excerpt(scheme, 40));
    adds_first_ = scheme != "never";
    if (component.get_or<bool>("add_prefix_space", true)) return;
    if (adds_first_ && component.json().contains("prepend_scheme"))
      component.fail("add_prefix_space is false, but prepend_scheme is {}", scheme);
    adds_first_ = false;
  }

  template <class Emit>
  void put(std::string_view token, DecoderState& state, Emit&& emit) const {
    const bool first = state.count == 0;
    if (!state.in_chunks) ++state.count;
    if (token.find(mark_) == token.npos) return emit(token);
    std::string text(token);
    replace_all(text, mark_, first && adds_first_ ? "" : " ");
    emit(std::string_view(text));
  }
  template <class Emit>
  void finish(DecoderState&, Emit&&) const {}

 private:
  std::string mark_;
  bool adds_first_ = true;
};

/// Decoder Strip: removes up to `start` equal characters from the beginning of each token, and up to `stop` from its
/// end.
struct StripDecoder {
  static constexpr std::string_view type = "Strip";

  explicit StripDecoder(const Component& component) {
    component.expect({"content", "start", "stop"});
    character_ = read_character(component, "content");
    start_ = component.get<std::size_t>("start");
    stop_ = component.get<std::size_t>("stop");
  }

  template <class Emit>
  void put(std::string_view token, DecoderState& state, Emit&& emit) const {
    if (!state.in_chunks) {
      std::size_t removed = 0;
      while (removed < start_ && token.starts_with(character_)) ++removed, token.remove_prefix(character_.size());
      return emit(without_end(token));
    }
    if (state.alone) return emit(token);
    while (!state.done && !token.empty()) {
      state.done = state.count == start_ || !token.starts_with(character_);
      if (!state.done) ++state.count, token.remove_prefix(character_.size());
    }
    if (stop_ == 0) return emit(token);
    // Characters that may have to be removed at the end are held until the next part arrives.
    std::string text = std::move(state.held);
    text += token;
    const std::string_view kept = without_end(text);
    emit(kept);
    state.held = text.substr(kept.size());
  }
  template <class Emit>
  void finish(DecoderState& state, Emit&& emit) const {
    if (state.in_chunks) emit(std::string_view());
    state.held.clear();
  }

 private:
  std::string_view without_end(std::string_view token) const {
    for (std::size_t removed = 0; removed < stop_ && token.ends_with(character_); ++removed)
      token.remove_suffix(character_.size());
    return token;
  }

  std::string character_;
  std::size_t start_, stop_;
};

}  // namespace moderngpt2::detail
