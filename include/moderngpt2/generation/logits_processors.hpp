#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>

// Logits processors of Hugging Face's generate(), as functions on the logits (V) of one sequence. The logit -infinity
// removes a token. None of them allocates memory.
namespace moderngpt2 {

template <class T>
inline constexpr T removed_logit = -std::numeric_limits<T>::infinity();

/// Makes tokens that the text already contains less likely (CTRL, Keskar et al. 2019). `seen`: these tokens, each once.
template <class T>
void apply_repetition_penalty(std::span<T> logits, std::span<const int> seen, double penalty) {
  for (const int token : seen) {
    T& logit = logits[std::size_t(token)];
    logit = logit < 0 ? T(logit * penalty) : T(logit / penalty);
  }
}

/// Calls f(token) for each next token that would repeat an n-gram of `text`, n = `size`; maybe repeatedly for a token.
template <class F>
void for_each_repeated_end(std::span<const int> text, int size, F&& f) {
  if (size < 1 || text.size() < std::size_t(size)) return;
  const auto tail = text.last(std::size_t(size - 1));
  for (std::size_t end = tail.size(); end < text.size(); ++end)
    if (std::equal(tail.begin(), tail.end(), text.begin() + std::ptrdiff_t(end - tail.size()))) f(text[end]);
}

/// Removes the tokens that would repeat an n-gram of `text`, n = `size` (no_repeat_ngram_size).
template <class T>
void forbid_repeated_ngrams(std::span<T> logits, std::span<const int> text, int size) {
  for_each_repeated_end(text, size, [&](int token) { logits[std::size_t(token)] = removed_logit<T>; });
}

/// Calls f(token) for each next token that would repeat an n-gram of `prompt` after the end of `text`, n = `size`.
template <class F>
void for_each_prompt_ngram_end(std::span<const int> prompt, std::span<const int> text, int size, F&& f) {
  if (size < 1 || text.size() + 1 < std::size_t(size) || prompt.size() < std::size_t(size)) return;
  const auto tail = text.last(std::size_t(size - 1));
  for (std::size_t end = tail.size(); end < prompt.size(); ++end)
    if (std::equal(tail.begin(), tail.end(), prompt.begin() + std::ptrdiff_t(end - tail.size()))) f(prompt[end]);
}

/// Sets the logits of `tokens` to 0 and removes all other tokens. Ids outside the vocabulary are ignored.
template <class T>
void force_tokens(std::span<T> logits, std::span<const int> tokens) {
  std::fill(logits.begin(), logits.end(), removed_logit<T>);
  for (const int token : tokens)
    if (token >= 0 && std::size_t(token) < logits.size()) logits[std::size_t(token)] = T(0);
}

/// Replaces NaN by 0, and infinite logits by the largest and smallest finite numbers.
template <class T>
void replace_invalid_logits(std::span<T> logits) {
  using Limits = std::numeric_limits<T>;
  for (T& logit : logits) logit = std::isnan(logit) ? T(0) : std::clamp(logit, Limits::lowest(), Limits::max());
}

/// Adds |x| (factor - 1) to the logits x of tokens, unless they are infinite.
template <class T>
void favour_tokens(std::span<T> logits, std::span<const int> tokens, double factor) {
  for (const int token : tokens) {
    if (token < 0 || std::size_t(token) >= logits.size()) continue;
    T& logit = logits[std::size_t(token)];
    if (std::isfinite(logit)) logit = T(double(logit) + std::abs(double(logit)) * (factor - 1));
  }
}

/// Removes tokens by their ids; ignores ids outside of the vocabulary.
template <class T>
void remove_tokens(std::span<T> logits, std::span<const int> tokens) {
  for (const int token : tokens)
    if (token >= 0 && std::size_t(token) < logits.size()) logits[std::size_t(token)] = removed_logit<T>;
}

/// Replaces logits by log(softmax(logits)).
template <class T>
void apply_log_softmax(std::span<T> logits) {
  const double top = double(*std::max_element(logits.begin(), logits.end()));
  double total = 0;
  for (const T logit : logits) total += std::exp(double(logit) - top);
  const double shift = top + std::log(total);
  for (T& logit : logits) logit = T(double(logit) - shift);
}

/// Divides logits by the temperature.
template <class T>
void apply_temperature(std::span<T> logits, double temperature) {
  for (T& logit : logits) logit = T(logit / temperature);
}

/// Top-k: removes tokens with logits below the k-th largest, and keeps all that are equal to it. `scratch`: (V).
template <class T>
void keep_top_k(std::span<T> logits, int k, std::span<T> scratch) {
  if (k < 1 || std::size_t(k) >= logits.size()) return;
  std::copy(logits.begin(), logits.end(), scratch.begin());
  const auto kth = scratch.begin() + (k - 1);
  std::nth_element(scratch.begin(), kth, scratch.begin() + std::ptrdiff_t(logits.size()), std::greater<T>());
  for (T& logit : logits)
    if (logit < *kth) logit = removed_logit<T>;
}

/// Top-p (nucleus sampling, Holtzman et al. 2020): keeps the smallest set of most likely tokens with a total
/// probability of at least p. As in Transformers, tokens are removed in ascending order of probability, equal ones in
/// order of id, as long as the removed probability is at most 1 - p; at least `least` are kept. `scratch`: (V).
template <class T>
void keep_top_p(std::span<T> logits, double p, std::span<int> scratch, std::size_t least = 1) {
  std::size_t count = 0;
  T top = removed_logit<T>;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] == removed_logit<T>) continue;
    scratch[count++] = int(i);
    top = std::max(top, logits[i]);
  }
  const std::span<int> kept = scratch.first(count);
  std::sort(kept.begin(), kept.end(), [&](int a, int b) {
    const T x = logits[std::size_t(a)], y = logits[std::size_t(b)];
    return x != y ? x < y : a < b;
  });
  double total = 0, sum = 0;
  for (const int i : kept) total += std::exp(double(logits[std::size_t(i)] - top));
  for (std::size_t i = 0; i + least < count; ++i) {
    T& logit = logits[std::size_t(kept[i])];
    sum += std::exp(double(logit - top)) / total;
    if (sum > 1 - p) break;
    logit = removed_logit<T>;
  }
}

/// Min-p (Nguyen et al. 2024): removes tokens less likely than min_p times the most likely one.
template <class T>
void keep_min_p(std::span<T> logits, double min_p) {
  if (min_p <= 0) return;
  const T top = *std::max_element(logits.begin(), logits.end());
  for (T& logit : logits)
    if (std::exp(double(logit - top)) < min_p) logit = removed_logit<T>;
}

/// Index of the largest logit, the first of equal ones.
template <class T>
int argmax(std::span<const T> logits) {
  return int(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

/// Samples a token: inverts the cumulative distribution of softmax(logits) at `uniform` in [0, 1).
template <class T>
int sample_softmax(std::span<const T> logits, double uniform) {
  const T top = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const T logit : logits) total += std::exp(double(logit - top));
  const double target = uniform * total;
  double sum = 0;
  int last = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] == removed_logit<T>) continue;
    sum += std::exp(double(logits[i] - top));
    last = int(i);
    if (sum > target) break;
  }
  return last;
}

}  // namespace moderngpt2
