#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <span>

#include "moderngpt2/generation/logits_processors.hpp"

// Logits processors of Hugging Face's generate() with a threshold on probability or entropy. None of them allocates
// memory. `least`: minimum number of tokens to keep.
namespace moderngpt2 {

/// Normalizer of a softmax, and its entropy in nats.
struct SoftmaxSums {
  double top = 0, total = 0;  ///< probability of a logit x: exp(x - top) / total
  double entropy = 0;

  double log_probability(double logit) const { return logit - top - std::log(total); }
  double probability(double logit) const { return std::exp(logit - top) / total; }
};

template <class T>
SoftmaxSums softmax_sums(std::span<const T> logits) {
  SoftmaxSums s;
  s.top = double(*std::max_element(logits.begin(), logits.end()));
  for (const T logit : logits) s.total += std::exp(double(logit) - s.top);
  for (const T logit : logits)
    if (const double p = s.probability(double(logit)); p > 0) s.entropy -= p * s.log_probability(double(logit));
  return s;
}

/// The k-th largest logit, k from 1 on; the smallest for k beyond V. `scratch`: (V).
template <class T>
T largest_logit(std::span<const T> logits, std::size_t k, std::span<T> scratch) {
  if (k <= 1) return *std::max_element(logits.begin(), logits.end());
  std::copy(logits.begin(), logits.end(), scratch.begin());
  const auto end = scratch.begin() + std::ptrdiff_t(logits.size());
  const auto kth = scratch.begin() + std::ptrdiff_t(std::min(k, logits.size()) - 1);
  std::nth_element(scratch.begin(), kth, end, std::greater<T>());
  return *kth;
}

/// Removes tokens less likely than `threshold`, but none of the `least` most likely ones.
template <class T>
void remove_unlikely(std::span<T> logits, double threshold, const SoftmaxSums& s, std::size_t least,
                     std::span<T> scratch) {
  const T kept = largest_logit<T>(logits, least, scratch);
  for (T& logit : logits)
    if (logit < kept && s.probability(double(logit)) < threshold) logit = removed_logit<T>;
}

/// Min-p (Nguyen et al. 2024): removes tokens less likely than min_p times the most likely one.
template <class T>
void keep_min_p(std::span<T> logits, double min_p, std::size_t least, std::span<T> scratch) {
  if (least <= 1) return keep_min_p(logits, min_p);
  const SoftmaxSums s = softmax_sums<T>(logits);
  remove_unlikely(logits, min_p / s.total, s, least, scratch);
}

/// Epsilon sampling (Hewitt et al. 2022).
template <class T>
void keep_epsilon(std::span<T> logits, double epsilon, std::size_t least, std::span<T> scratch) {
  remove_unlikely(logits, epsilon, softmax_sums<T>(logits), least, scratch);
}

/// Eta sampling (Hewitt et al. 2022): the threshold falls with the entropy of the distribution.
template <class T>
void keep_eta(std::span<T> logits, double epsilon, std::size_t least, std::span<T> scratch) {
  const SoftmaxSums s = softmax_sums<T>(logits);
  remove_unlikely(logits, std::min(epsilon, std::sqrt(epsilon) * std::exp(-s.entropy)), s, least, scratch);
}

/// Locally typical sampling (Meister et al. 2022): keeps the tokens whose information is closest to the entropy, until
/// their total probability reaches `mass`. `distances` and `order`: scratch (V).
template <class T>
void keep_typical(std::span<T> logits, double mass, std::size_t least, std::span<T> distances, std::span<int> order) {
  const SoftmaxSums s = softmax_sums<T>(logits);
  std::size_t count = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] == removed_logit<T>) continue;
    distances[i] = T(std::abs(-s.log_probability(double(logits[i])) - s.entropy));
    order[count++] = int(i);
  }
  const auto distance = [&](std::size_t rank) { return distances[std::size_t(order[rank])]; };
  std::sort(order.begin(), order.begin() + std::ptrdiff_t(count), [&](int a, int b) {
    const T x = distances[std::size_t(a)], y = distances[std::size_t(b)];
    return x != y ? x < y : a < b;
  });
  std::size_t last = 0;
  for (double sum = 0; last < count; ++last) {
    sum += s.probability(double(logits[std::size_t(order[last])]));
    if (!(sum < mass)) break;
  }
  if (last >= count) return;
  const T limit = distance(last);
  for (std::size_t rank = least; rank < count; ++rank)
    if (distance(rank) > limit) logits[std::size_t(order[rank])] = removed_logit<T>;
}

/// Top-H (Baghaei Potraghloo et al. 2025): keeps the most likely tokens as long as the sum of their entropy terms is at
/// most `fraction` of the entropy of the 100 most likely tokens; at least one. `order`: scratch (V).
template <class T>
void keep_top_h(std::span<T> logits, double fraction, std::span<int> order) {
  for (std::size_t i = 0; i < logits.size(); ++i) order[i] = int(i);
  const std::size_t count = std::min<std::size_t>(100, logits.size());
  std::partial_sort(order.begin(), order.begin() + std::ptrdiff_t(count), order.begin() + std::ptrdiff_t(logits.size()),
                    [&](int a, int b) {
                      const T x = logits[std::size_t(a)], y = logits[std::size_t(b)];
                      return x != y ? x > y : a < b;
                    });
  const auto ranked = [&](std::size_t rank) -> T& { return logits[std::size_t(order[rank])]; };
  SoftmaxSums s{.top = double(ranked(0))};
  for (std::size_t rank = 0; rank < count; ++rank) s.total += std::exp(double(ranked(rank)) - s.top);
  const auto term = [&](std::size_t rank) {
    const double p = s.probability(double(ranked(rank)));
    return p > 0 ? -p * s.log_probability(double(ranked(rank))) : 0;
  };
  for (std::size_t rank = 0; rank < count; ++rank) s.entropy += term(rank);
  std::size_t kept = 0;
  for (double sum = 0; kept < count && ranked(kept) != removed_logit<T>; ++kept) {
    sum += term(kept);
    if (kept > 0 && sum > fraction * s.entropy) break;
  }
  for (std::size_t rank = kept; rank < logits.size(); ++rank) ranked(rank) = removed_logit<T>;
}

}  // namespace moderngpt2
