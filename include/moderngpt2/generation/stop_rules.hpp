#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/generation/options.hpp"

namespace moderngpt2 {

/// Reason for the end of a completion: an eos token, max_new_tokens, the model's n_positions, the callback,
/// BatchGenerator::cancel(), one of stop_strings, or max_time.
enum class StopReason : unsigned char { eos, max_new_tokens, n_positions, callback, cancelled, stop_string, max_time };

namespace detail {

/// Ends a text by stop_strings and max_time, like the stopping criteria of Hugging Face's generate(). The time starts
/// at the construction.
class StopRules {
 public:
  explicit StopRules(const GenerationOptions& options)
      : strings_(options.stop_strings), token_text_(options.token_text) {
    if (options.max_time) end_ = seconds_now() + *options.max_time;
    for (const std::string& string : strings_) longest_ = std::max(longest_, string.size());
  }

  bool is_time_over() const { return end_ && seconds_now() > *end_; }

  /// Whether a stop string overlaps the last token of a text. Texts are compared by bytes, prompt and special tokens
  /// included.
  bool has_stop_string(std::span<const int> text) const {
    if (strings_.empty() || text.empty()) return false;
    const std::size_t last = token_text_(text.back()).size();
    std::string tail = token_text_(text.back());
    for (std::size_t i = text.size() - 1; i-- > 0 && tail.size() < last + longest_ - 1;)
      tail.insert(0, token_text_(text[i]));
    const std::size_t begin = tail.size() - last;
    return std::ranges::any_of(strings_, [&](const std::string& string) {
      const std::size_t first = begin > string.size() - 1 ? begin - (string.size() - 1) : 0;
      return tail.find(string, first) != tail.npos;
    });
  }

  /// Reason to end a text after its last token, if any.
  std::optional<StopReason> reason(std::span<const int> text) const {
    if (has_stop_string(text)) return StopReason::stop_string;
    if (is_time_over()) return StopReason::max_time;
    return std::nullopt;
  }

 private:
  std::vector<std::string> strings_;
  std::function<std::string(int)> token_text_;
  std::size_t longest_ = 0;  // bytes of the longest string
  std::optional<double> end_;
};

}  // namespace detail

}  // namespace moderngpt2
