#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/utf8.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2::detail {

/// Finds the first of several texts in a text; of several at one place, the longest.
class TextFinder {
 public:
  struct Match {
    std::size_t at, size;  // size 0: no match
  };

  TextFinder() = default;
  explicit TextFinder(std::vector<std::string> texts) : texts_(std::move(texts)) {
    for (const std::string& text : texts_) {
      longest_ = std::max(longest_, text.size());
      if (starts_.find(text[0]) == starts_.npos) starts_ += text[0];
    }
  }

  std::size_t longest() const { return longest_; }

  Match find(std::string_view in) const {
    Match best{in.size(), 0};
    for (const char start : starts_) {
      for (std::size_t at = 0; at < best.at; ++at) {
        const void* const found = std::memchr(in.data() + at, start, best.at - at);
        if (!found) break;
        at = static_cast<std::size_t>(static_cast<const char*>(found) - in.data());
        std::size_t size = 0;
        for (const std::string& text : texts_)
          if (text.size() > size && in.compare(at, text.size(), text) == 0) size = text.size();
        if (size > 0) best = {at, size};
      }
    }
    return best;
  }

 private:
  std::vector<std::string> texts_;
  std::string starts_;  // distinct first bytes
  std::size_t longest_ = 0;
};

/// Cuts documents into the "sentences" that SentencePiece's trainer gets. A document is one sentence, so that line
/// breaks are ordinary characters and get pieces; cut at lines, they would be lost and later fall back to bytes.
/// Documents that are too long are cut before a space, which no piece crosses, or else between two characters. Texts to
/// cut out, such as special tokens, are removed: they have ids, and no piece should spell them. Line breaks after a
/// special token stand alone: a model that continues a prompt after them could not produce a piece that joins them with
/// the first character of the answer.
class SentenceCutter {
 public:
  SentenceCutter(std::size_t longest_sentence, std::vector<std::string> cut_out)
      : limit_(longest_sentence), cut_out_(std::move(cut_out)) {}

  /// Starts a document and repairs invalid UTF-8 in it. The document must outlive the calls of next().
  void start(std::string& document) {
    if (valid_utf8_prefix(document) != document.size()) document = replace_invalid_utf8(document);
    rest_ = document;
    after_token_ = false;
  }

  /// Returns the next sentence, or an empty text at the end of the document.
  std::string_view next() {
    while (!rest_.empty()) {
      const std::string_view sentence = take();
      if (!sentence.empty()) return sentence;
    }
    return {};
  }

 private:
  std::string_view take() {
    std::size_t end = after_token_ ? std::min(rest_.find_first_not_of('\n'), rest_.size()) : 0, skipped = 0;
    if (end == 0) {
      const std::string_view near = rest_.size() - std::min(limit_, rest_.size()) > cut_out_.longest()
                                        ? rest_.substr(0, limit_ + cut_out_.longest())
                                        : rest_;
      const TextFinder::Match match = cut_out_.find(near);
      end = match.size > 0 ? match.at : rest_.size();
      skipped = match.size;
    }
    std::size_t length = end;
    if (length > limit_) {
      length = rest_.rfind(' ', limit_);
      if (length == rest_.npos || length == 0) {
        length = limit_;
        while (is_utf8_continuation(rest_[length])) --length;
      }
    }
    const std::string_view sentence = rest_.substr(0, length);
    after_token_ = length == end && skipped > 0;
    rest_.remove_prefix(length == end ? length + skipped : length);
    return sentence;
  }

  std::size_t limit_;
  TextFinder cut_out_;
  std::string_view rest_;
  bool after_token_ = false;
};

}  // namespace moderngpt2::detail
