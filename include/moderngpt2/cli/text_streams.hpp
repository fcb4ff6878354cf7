#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/tokenizer/stream_decoder.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// Displays several texts that are generated concurrently, one after another: the first unfinished text is streamed in
/// whole characters, the others are buffered. Each text ends with a line feed; a line of dashes separates two.
class TextStreams {
 public:
  TextStreams(const Tokenizer& tokenizer, std::size_t count, std::function<void(const std::string&)> write)
      : decoders_(count, StreamDecoder(tokenizer)), held_(count), ended_(count), write_(std::move(write)) {}

  /// Adds a token to text `index`.
  void put(std::size_t index, int token) {
    held_[index] += decoders_[index].put(token);
    if (index == current_) flush();
  }

  /// Ends text `index` and writes the buffered texts that follow it.
  void end(std::size_t index) {
    held_[index] += decoders_[index].finish() + "\n";
    ended_[index] = true;
    while (current_ < held_.size() && ended_[current_]) {
      flush();
      if (++current_ < held_.size()) held_[current_].insert(0, "---\n");
    }
    if (current_ < held_.size()) flush();
  }

 private:
  void flush() {
    write_(held_[current_]);
    held_[current_].clear();
  }

  std::vector<StreamDecoder> decoders_;
  std::vector<std::string> held_;  // text not written yet
  std::vector<char> ended_;
  std::size_t current_ = 0;
  std::function<void(const std::string&)> write_;
};

}  // namespace moderngpt2
