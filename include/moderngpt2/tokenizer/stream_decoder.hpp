#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

/// Incremental decoder for text that is shown while it is generated. Returns whole characters, each as soon as later
/// tokens cannot change it. The concatenated output equals `Tokenizer::decode` of all ids, except for a run of
/// byte-fallback tokens that is not valid UTF-8: characters returned before remain, the rest is one U+FFFD per byte.
/// Threads: one at a time; several decoders may share a tokenizer.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, bool skip_special_tokens = true)
      : tokenizer_(std::move(tokenizer)), skip_special_tokens_(skip_special_tokens) {}

  /// Adds an id and returns the text that it completes, possibly empty.
  std::string put(int id) {
    if (!tokenizer_.has(id) || (skip_special_tokens_ && tokenizer_.is_special(id))) return {};
    if (tokenizer_.state_->engine) return put_engine(id);
    if (!run_) run_.emplace(tokenizer_.state_->decoders, detail::Decoders::Mode::streamed);
    std::string text;
    run_->put(tokenizer_.token(id), text);
    return text;
  }

  /// Returns the incomplete rest and resets the decoder.
  std::string finish() {
    std::string text;
    if (run_) run_->finish(text);
    run_.reset();
    if (!ids_.empty()) text = rest_of(tokenizer_.state_->engine->decode(ids_));
    ids_.clear();
    given_ = 0;
    return text;
  }

 private:
  /// Decodes with a library that only decodes whole texts (SentencePiece): repeats the last ids, which later ids may
  /// change.
  std::string put_engine(int id) {
    ids_.push_back(id);
    const std::string all = tokenizer_.state_->engine->decode(ids_);
    if (all.ends_with(replacement_character)) return {};
    const std::string text = rest_of(all);
    constexpr std::size_t most = 64, kept = 8;
    given_ = all.size();
    if (ids_.size() > most) {
      ids_.erase(ids_.begin(), ids_.end() - kept);
      given_ = tokenizer_.state_->engine->decode(ids_).size();
    }
    return text;
  }
  std::string rest_of(const std::string& all) const { return all.substr(std::min(given_, all.size())); }

  Tokenizer tokenizer_;
  bool skip_special_tokens_;
  std::optional<detail::Decoders::Run> run_;
  std::vector<int> ids_;   // last ids of a library's text
  std::size_t given_ = 0;  // bytes of their text that were returned
};

}  // namespace moderngpt2
