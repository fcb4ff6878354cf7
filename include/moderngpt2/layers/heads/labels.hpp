#pragma once

#include <concepts>
#include <cstdint>
#include <span>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/layers/pass.hpp"

namespace moderngpt2 {

/// Labels of a head for a pass: `labels` itself, or for integers with their number (a span or vector) the head's labels
/// that refer to them: (B,T) for language models and token classification, (B) for sequence classification. Throws an
/// Error if there are more or fewer.
template <class HeadLabels, class Labels, class R>
auto labels_of(const Labels& labels, const Pass<R>& pass) {
  if constexpr (!std::same_as<Labels, HeadLabels> && std::convertible_to<const Labels&, std::span<const int>>) {
    HeadLabels made{};
    if constexpr (requires { made.labels; })
      made.labels = require_size(labels, std::int64_t(pass.batch) * pass.time, "labels");
    else
      made.classes = require_size(labels, pass.batch, "labels");
    return made;
  } else {
    return labels;
  }
}

/// Throws an Error if a pass for gradients has no labels.
inline void require_labels(bool has_labels, bool has_gradients, const char* fields) {
  if (has_gradients && !has_labels) throw Error("labels: {} null, but the gradients of a loss need labels", fields);
}

/// Number of labels (n) other than ignored_label.
inline std::int64_t count_valid(const int* labels, std::int64_t n) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < n; ++i) count += labels[i] != ignored_label;
  return count;
}

/// Number of labels (n) other than ignored_label. Throws an Error for another label outside 0..classes-1.
inline std::int64_t count_valid(const int* labels, std::int64_t n, int classes) {
  for (std::int64_t i = 0; i < n; ++i)
    if (labels[i] != ignored_label && (labels[i] < 0 || labels[i] >= classes))
      throw Error("labels: {} at index {} is neither in 0..{} nor {} (a label to ignore)", labels[i], i, classes - 1,
                  ignored_label);
  return count_valid(labels, n);
}

/// Number of labels by which a mean loss divides: `given` (of the global batch), or `counted` (of this micro-batch) if
/// `given` is negative.
constexpr std::int64_t mean_count(std::int64_t given, std::int64_t counted) { return given >= 0 ? given : counted; }

/// 1 / count, or 0 for a count of 0: a batch without valid labels has loss 0 and gradient 0.
template <class R>
R mean_factor(std::int64_t count) {
  return count > 0 ? R(1) / R(count) : R(0);
}

}  // namespace moderngpt2
