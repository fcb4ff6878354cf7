#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "moderngpt2/tokenizer/decoder.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

/// Incremental decoder for text that is shown while it is generated. Returns whole characters, each as soon as its last
/// byte arrives. The concatenated output equals `Tokenizer::decode` of all ids, except for a run of byte tokens that is
/// not valid UTF-8: characters returned before remain, the rest is one U+FFFD per byte. Threads: one at a time; several
/// decoders may share a tokenizer.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, bool skip_special_tokens = true)
      : tokenizer_(std::move(tokenizer)), skip_special_tokens_(skip_special_tokens) {}

  /// Adds an id and returns the text that it completes, possibly empty.
  std::string put(int id) {
    if (id < 0 || id >= tokenizer_.vocab_size() || (skip_special_tokens_ && tokenizer_.is_special(id))) return {};
    if (const int byte = tokenizer_.byte_value(id); byte >= 0) return put_byte(static_cast<char>(byte));
    std::string text = finish();
    detail::append_token_text(tokenizer_.token(id), text);
    return text;
  }

  /// Returns the incomplete rest and resets the decoder.
  std::string finish() {
    std::string text;
    detail::append_byte_run(pending_, text);
    pending_.clear();
    broken_ = false;
    return text;
  }

 private:
  std::string put_byte(char byte) {
    if (broken_) return std::string(replacement_character);
    pending_.push_back(byte);
    const std::size_t whole = valid_utf8_prefix(pending_);
    std::string text = pending_.substr(0, whole);
    pending_.erase(0, whole);
    if (!pending_.empty() && !detail::utf8_step(pending_, 0).truncated) {
      detail::append_byte_run(pending_, text);
      pending_.clear();
      broken_ = true;
    }
    return text;
  }

  Tokenizer tokenizer_;
  bool skip_special_tokens_;
  std::string pending_;  // bytes of an incomplete character
  bool broken_ = false;  // the current run of byte tokens is not UTF-8
};

}  // namespace moderngpt2
