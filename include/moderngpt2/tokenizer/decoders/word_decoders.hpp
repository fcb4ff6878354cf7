#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/decoders/decoder_state.hpp"

namespace moderngpt2::detail {

/// Replaces each occurrence of `from` by `to`. `from` must not be empty.
inline void replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::size_t at = text.find(from);
  if (at == text.npos) return;
  std::string result;
  std::size_t done = 0;
  for (; at != text.npos; at = text.find(from, done)) {
    result.append(text, done, at - done).append(to);
    done = at + from.size();
  }
  text = std::move(result.append(text, done));
}

/// Removes spaces before punctuation and English contractions, as WordPiece and CTC decoders do with `cleanup`.
inline void clean_up_spaces(std::string& text) {
  if (text.find(' ') == text.npos) return;
  static constexpr std::pair<std::string_view, std::string_view> rules[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : rules) replace_all(text, from, to);
}

/// Decoder WordPiece: a token without the prefix begins a word, and a space is put before it.
struct WordPieceDecoder {
  static constexpr std::string_view type = "WordPiece";

  explicit WordPieceDecoder(const Component& component) {
    component.expect({"prefix", "cleanup"});
    prefix_ = component.get<std::string>("prefix");
    cleanup_ = component.get<bool>("cleanup");
  }

  template <class Emit>
  void put(std::string_view token, DecoderState& state, Emit&& emit) const {
    std::string text(token);
    if (state.count++ > 0) {
      if (token.starts_with(prefix_))
        text.erase(0, prefix_.size());
      else
        text.insert(0, 1, ' ');
    }
    if (cleanup_) clean_up_spaces(text);
    emit(std::string_view(text));
  }
  template <class Emit>
  void finish(DecoderState&, Emit&&) const {}

 private:
  std::string prefix_;
  bool cleanup_;
};

/// Decoder BPEDecoder: a suffix ends each word. It becomes a space; in the last token, it is removed.
struct BpeDecoder {
  static constexpr std::string_view type = "BPEDecoder";

  explicit BpeDecoder(const Component& component) {
    component.expect({"suffix"});
    suffix_ = component.get<std::string>("suffix");
    if (suffix_.empty()) component.fail("the suffix is empty. Remove the decoder from the file.");
  }

  template <class Emit>
  void put(std::string_view token, DecoderState& state, Emit&& emit) const {
    if (state.holds) give(state, " ", emit);
    state.held = token;
    state.holds = true;
  }
  template <class Emit>
  void finish(DecoderState& state, Emit&& emit) const {
    if (state.holds) give(state, state.alone ? " " : "", emit);
  }

 private:
  template <class Emit>
  void give(DecoderState& state, std::string_view replacement, Emit&& emit) const {
    replace_all(state.held, suffix_, replacement);
    emit(std::string_view(state.held));
    state.holds = false;
  }

  std::string suffix_;
};

/// Decoder CTC (connectionist temporal classification): merges equal adjacent tokens and removes pad tokens.
struct CtcDecoder {
  static constexpr std::string_view type = "CTC";

  explicit CtcDecoder(const Component& component) {
    component.expect({"pad_token", "word_delimiter_token", "cleanup"});
    pad_ = component.get<std::string>("pad_token");
    delimiter_ = component.get<std::string>("word_delimiter_token");
    cleanup_ = component.get<bool>("cleanup");
    if (pad_.empty() || delimiter_.empty()) component.fail("pad_token and word_delimiter_token must not be empty");
  }

  template <class Emit>
  void put(std::string_view token, DecoderState& state, Emit&& emit) const {
    if (state.holds && state.held == token) return;
    state.holds = true;
    state.held = token;
    std::string text(token);
    replace_all(text, pad_, "");
    if (cleanup_) {
      clean_up_spaces(text);
      replace_all(text, delimiter_, " ");
    }
    if (!text.empty()) emit(std::string_view(text));
  }
  template <class Emit>
  void finish(DecoderState&, Emit&&) const {}

 private:
  std::string pad_, delimiter_;
  bool cleanup_;
};

/// Decoder Fuse: joins all tokens to one.
struct FuseDecoder {
  static constexpr std::string_view type = "Fuse";

  explicit FuseDecoder(const Component& component) { component.expect({}); }

  template <class Emit>
  void put(std::string_view token, DecoderState& state, Emit&& emit) const {
    if (state.early)
      emit(token);
    else
      state.held += token;
  }
  template <class Emit>
  void finish(DecoderState& state, Emit&& emit) const {
    if (!state.early) emit(std::string_view(state.held));
    state.held.clear();
  }
};

}  // namespace moderngpt2::detail
