#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/gguf/config.hpp"
#include "moderngpt2/io/gguf/metadata.hpp"

// GGUF files store norm weights as w + 1 and query weights as w * factor, both rounded to float, which loses low bits
// of w. Keys of this library keep these bits, so that reading such a file returns w. A kept weight is used only if it
// gives the stored value: other programs may change the tensors.
namespace moderngpt2::detail {

/// Norm weight of a stored value. `kept`: the weight in moderngpt2.norm_weights, if any.
inline float gguf_norm_weight(float stored, const float* kept) {
  if (kept && std::bit_cast<std::uint32_t>(*kept + 1.0f) == std::bit_cast<std::uint32_t>(stored)) return *kept;
  return static_cast<float>(double(stored) - 1.0);
}

inline float gguf_scaled_query(float weight, double factor) { return static_cast<float>(double(weight) * factor); }

/// Rounding of query weights: the difference of w and of the float next to stored / factor, in units of the last place,
/// for each weight of all q_proj and their biases. Differences are 0, 1 or -1; others (of subnormal numbers) are kept
/// as the weights themselves.
class GgufQueryRounding {
 public:
  explicit GgufQueryRounding(double factor) : factor_(factor) {}
  /// Reads the keys of a file.
  GgufQueryRounding(const GgufMetadata& metadata, double factor);

  /// Adds the next weight, in the order of the indices.
  void add(float weight);

  /// Adds the keys; none if each weight is the float next to stored / factor.
  void write(GgufMetadata& metadata) const;

  /// Weight of a stored value, by its index among all query weights.
  float weight(float stored, std::int64_t index) const;

 private:
  static constexpr char zero = '0';         // first of 64 consecutive ASCII characters, each with three codes
  static constexpr std::int64_t codes = 3;  // in a character
  static constexpr unsigned other = 3;      // code of a weight that is kept in values_

  static std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }
  float quotient(float stored) const { return static_cast<float>(double(stored) / factor_); }

  double factor_;
  std::string text_;
  std::int64_t count_ = 0;
  bool is_needed_ = false;
  std::vector<std::uint64_t> indices_;
  std::vector<float> values_;
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE GgufQueryRounding::GgufQueryRounding(const GgufMetadata& metadata, double factor) : factor_(factor) {
  if (factor == 1) return;
  text_ = metadata.get<std::string>(gguf_query_key).value_or("");
  indices_ = metadata.get_numbers<std::uint64_t>(gguf_query_index_key);
  values_ = metadata.get_numbers<float>(gguf_query_value_key);
  if (indices_.size() != values_.size() || !std::is_sorted(indices_.begin(), indices_.end()))
    indices_.clear(), values_.clear();
}

MODERNGPT2_INLINE void GgufQueryRounding::add(float weight) {
  const float next = quotient(gguf_scaled_query(weight, factor_));
  const std::uint32_t difference = bits(weight) - bits(next);
  unsigned code = other;
  if (difference == 0) code = 0;
  if (difference == 1) code = 1;
  if (difference == ~std::uint32_t{0}) code = 2;
  if (code == other) {
    indices_.push_back(static_cast<std::uint64_t>(count_));
    values_.push_back(weight);
  }
  if (count_ % codes == 0) text_ += zero;
  text_.back() = static_cast<char>(text_.back() + static_cast<char>(code << (2 * (count_ % codes))));
  is_needed_ |= code != 0;
  ++count_;
}

MODERNGPT2_INLINE void GgufQueryRounding::write(GgufMetadata& metadata) const {
  if (!is_needed_) return;
  metadata.add(std::string(gguf_query_key), GgufValue::text(text_));
  if (indices_.empty()) return;
  metadata.add(std::string(gguf_query_index_key), GgufValue::numbers(indices_));
  metadata.add(std::string(gguf_query_value_key), GgufValue::numbers(values_));
}

MODERNGPT2_INLINE float GgufQueryRounding::weight(float stored, std::int64_t index) const {
  if (factor_ == 1) return stored;
  const float next = quotient(stored);
  const auto at = static_cast<std::size_t>(index / codes);
  if (at >= text_.size()) return next;
  const unsigned code = static_cast<unsigned char>(text_[at] - zero) >> (2 * (index % codes)) & 3u;
  float candidate = next;
  if (code == 1) candidate = std::bit_cast<float>(bits(next) + 1);
  if (code == 2) candidate = std::bit_cast<float>(bits(next) - 1);
  if (code == other) {
    const auto found = std::lower_bound(indices_.begin(), indices_.end(), static_cast<std::uint64_t>(index));
    if (found != indices_.end() && *found == static_cast<std::uint64_t>(index))
      candidate = values_[static_cast<std::size_t>(found - indices_.begin())];
  }
  return bits(gguf_scaled_query(candidate, factor_)) == bits(stored) ? candidate : next;
}

}  // namespace moderngpt2::detail

#endif
