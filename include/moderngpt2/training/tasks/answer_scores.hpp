#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moderngpt2 {

/// Words of an answer as SQuAD's evaluation compares them: ASCII letters in lower case, without punctuation and the
/// articles a, an and the.
inline std::vector<std::string> answer_words(std::string_view text) {
  std::string kept;
  for (const char c : text) {
    if (c > ' ' && c < '\x7f' &&
        std::string_view("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~").find(c) != std::string_view::npos)
      continue;
    kept += c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c;
  }
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin < kept.size();) {
    begin = kept.find_first_not_of(" \t\n\r\f\v", begin);
    if (begin == kept.npos) break;
    const std::size_t end = std::min(kept.find_first_of(" \t\n\r\f\v", begin), kept.size());
    std::string word = kept.substr(begin, end - begin);
    if (word != "a" && word != "an" && word != "the") words.push_back(std::move(word));
    begin = end;
  }
  return words;
}

/// 1 if two answers have the same words in the same order, else 0.
inline double exact_match(std::string_view predicted, std::string_view actual) {
  return answer_words(predicted) == answer_words(actual);
}

/// Harmonic mean of precision and recall of an answer's words.
inline double answer_f1(std::string_view predicted, std::string_view actual) {
  const std::vector<std::string> p = answer_words(predicted), a = answer_words(actual);
  if (p.empty() || a.empty()) return p == a;
  std::map<std::string_view, int> left;
  for (const std::string& word : a) ++left[word];
  int common = 0;
  for (const std::string& word : p) common += left[word]-- > 0;
  return 2.0 * common / double(p.size() + a.size());
}

/// Answer span: tokens [start, end] of a window (both inclusive), and the sum of its start and end logits.
struct Span {
  int start = -1, end = -1;
  float score = 0;
};

/// Best span within tokens [begin, end), at most `most_tokens` long. Considers the `n_best` best starts and ends of the
/// window. The result's start is -1 if no span qualifies.
template <class T>
Span best_span(std::span<T> starts, std::span<T> ends, int begin, int end, int most_tokens = 30, int n_best = 20) {
  const auto best = [&](std::span<T> scores) {
    std::vector<int> order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    const std::size_t n = std::min<std::size_t>(std::size_t(n_best), order.size());
    std::partial_sort(order.begin(), order.begin() + std::ptrdiff_t(n), order.end(), [&](int a, int b) {
      const float x = float(scores[std::size_t(a)]), y = float(scores[std::size_t(b)]);
      return x != y ? x > y : a < b;
    });
    order.resize(n);
    return order;
  };
  Span result;
  const std::vector<int> best_ends = best(ends);
  for (const int s : best(starts))
    for (const int e : best_ends) {
      if (s < begin || e >= end || e < s || e - s + 1 > most_tokens) continue;
      const float score = float(starts[std::size_t(s)]) + float(ends[std::size_t(e)]);
      if (result.start < 0 || score > result.score) result = {s, e, score};
    }
  return result;
}

}  // namespace moderngpt2
