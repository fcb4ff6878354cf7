#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "moderngpt2/training/evaluation.hpp"

namespace moderngpt2 {

/// Counts of one class: correct predictions (hits), predictions, and labels (actual).
struct ClassCount {
  std::int64_t hits = 0, predicted = 0, actual = 0;

  static double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }
  double precision() const { return ratio(double(hits), double(predicted)); }
  double recall() const { return ratio(double(hits), double(actual)); }
  double f1() const { return ratio(2.0 * double(hits), double(predicted + actual)); }
};

/// Scores of single-label predictions, as scikit-learn defines them: accuracy, macro F1 over the classes that occur,
/// and F1 weighted by the number of labels; for two classes also precision, recall and F1 of class 1.
inline ScoreList single_label_scores(std::span<const int> predicted, std::span<const int> actual, int num_labels) {
  std::vector<ClassCount> counts(static_cast<std::size_t>(num_labels));
  std::int64_t hits = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    auto& p = counts[std::size_t(predicted[i])];
    auto& a = counts[std::size_t(actual[i])];
    ++p.predicted, ++a.actual;
    if (predicted[i] == actual[i]) ++p.hits, ++hits;
  }
  double sum = 0, weighted = 0;
  int occurring = 0;
  for (const ClassCount& c : counts) {
    sum += c.f1(), weighted += c.f1() * double(c.actual);
    occurring += c.predicted + c.actual > 0;
  }
  const double n = double(actual.size());
  ScoreList scores{{"accuracy", ClassCount::ratio(double(hits), n)},
                   {"f1_macro", ClassCount::ratio(sum, occurring)},
                   {"f1_weighted", ClassCount::ratio(weighted, n)}};
  if (num_labels == 2) {
    scores.emplace_back("f1", counts[1].f1());
    scores.emplace_back("precision", counts[1].precision());
    scores.emplace_back("recall", counts[1].recall());
  }
  return scores;
}

/// Scores of multi-label predictions, (N, num_labels) of 0 and 1: micro F1, precision and recall, macro F1, and the
/// fraction of texts whose classes are all correct.
inline ScoreList multi_label_scores(std::span<const std::uint8_t> predicted, std::span<const std::uint8_t> actual,
                                    int num_labels) {
  const auto width = static_cast<std::size_t>(num_labels);
  std::vector<ClassCount> counts(width);
  std::int64_t exact = 0;
  for (std::size_t begin = 0; begin < actual.size(); begin += width) {
    bool same = true;
    for (std::size_t k = 0; k < width; ++k) {
      const bool p = predicted[begin + k], a = actual[begin + k];
      counts[k].predicted += p, counts[k].actual += a, counts[k].hits += p && a;
      same = same && p == a;
    }
    exact += same;
  }
  ClassCount all;
  double sum = 0;
  for (const ClassCount& c : counts) {
    all.hits += c.hits, all.predicted += c.predicted, all.actual += c.actual;
    sum += c.f1();
  }
  return {{"f1", all.f1()},
          {"precision", all.precision()},
          {"recall", all.recall()},
          {"f1_macro", sum / num_labels},
          {"accuracy", ClassCount::ratio(double(exact), double(actual.size() / width))}};
}

namespace detail {

/// Pearson's correlation coefficient; NaN if x or y is constant.
inline double pearson(std::span<const double> x, std::span<const double> y) {
  const double n = double(x.size());
  const double mean_x = std::accumulate(x.begin(), x.end(), 0.0) / n,
               mean_y = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double xy = 0, xx = 0, yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double a = x[i] - mean_x, b = y[i] - mean_y;
    xy += a * b, xx += a * a, yy += b * b;
  }
  return xy / std::sqrt(xx * yy);
}

/// Ranks of values in ascending order, counted from 1; equal values share their mean rank.
inline std::vector<double> ranks(std::span<const double> x) {
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return x[a] < x[b]; });
  std::vector<double> rank(x.size());
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && x[order[end]] == x[order[begin]]) ++end;
    for (std::size_t i = begin; i < end; ++i) rank[order[i]] = double(begin + end + 1) / 2;
  }
  return rank;
}

}  // namespace detail

/// Scores of regression: mean squared error and, for one number per text, Pearson's and Spearman's correlation.
inline ScoreList regression_scores(std::span<const double> predicted, std::span<const double> actual, int width) {
  double sum = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) sum += (predicted[i] - actual[i]) * (predicted[i] - actual[i]);
  ScoreList scores{{"mse", sum / double(actual.size())}};
  if (width > 1) return scores;
  scores.emplace_back("pearson", detail::pearson(predicted, actual));
  scores.emplace_back("spearmanr", detail::pearson(detail::ranks(predicted), detail::ranks(actual)));
  return scores;
}

}  // namespace moderngpt2
