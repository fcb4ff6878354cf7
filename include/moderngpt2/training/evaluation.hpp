#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/distributed/agreement.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/layers/pass.hpp"

namespace moderngpt2 {

/// Names and values of what a model is judged by, without the "eval_" that they have in logs.
using ScoreList = std::vector<std::pair<std::string, double>>;

/// The loss on held-out data, and the scores of its task.
struct Evaluation {
  double loss = 0;          ///< mean over all labels that count, nats for cross-entropies
  std::int64_t labels = 0;  ///< that count
  ScoreList scores{};

  double perplexity() const { return std::exp(loss); }
  /// "loss 1.5, accuracy 0.75".
  std::string text() const {
    std::string text = fmt::format("loss {:.9g}", loss);
    for (const auto& [name, value] : scores) text += fmt::format(", {} {:.6g}", name, value);
    return text;
  }
};

/// The pass over `count` examples of a batch from its `first` on.
template <class R, class Batch>
Pass<R> pass_of(const Batch& batch, std::int64_t first, std::int64_t count) {
  return {.batch = int(count * batch.sequences()),
          .time = batch.time(),
          .key_mask = batch.mask(first),
          .first_sequence = first * batch.sequences()};
}

/// The mean loss of a model over a data set, dropout off; what its head gives for each batch is handed to `scores`.
/// `proceed(done)` is told how many examples are done, and gives up by returning false: then there is no result. Of
/// several `ranks` each takes every size-th batch, and all have the result: what scores.add() was given on each goes to
/// all by scores.gather().
template <class M, class Batch, class Scores, class Proceed>
std::optional<Evaluation> evaluate(M& model, typename M::Work& work, Batch& batch, const typename Batch::Data& data,
                                   int batch_size, Scores&& scores, Proceed&& proceed,
                                   distributed::CommunicatorBase* ranks = nullptr) {
  typename Batch::Divisors divisors{1};
  if constexpr (Batch::labels_are_counted_ahead) divisors = data.divisors();
  double sum = 0;
  Evaluation result;
  const std::int64_t own = ranks ? ranks->rank() : 0, size = ranks ? ranks->size() : 1;
  bool gave_up = false;
  for (std::int64_t round = 0; round < data.size(); round += batch_size * size) {
    if (model.is_sharded() && ranks) gave_up = max_over_ranks(*ranks, gave_up, "signals to stop") > 0;
    if (gave_up) break;
    const std::int64_t first = round + own * batch_size;
    if (first >= data.size()) {
      model.participate_without_batch();
      break;
    }
    const std::int64_t rows = std::min<std::int64_t>(batch_size, data.size() - first);
    batch.load(data, rows, [&](std::int64_t i) { return first + i; });
    sum += double(
        model.loss(work, batch.ids(0), batch.head_labels(0, rows, divisors), pass_of<typename M::R>(batch, 0, rows)));
    scores.add(model.backend(), work.views.head, batch, first);
    result.labels += batch.valid();
    gave_up = !proceed(first + rows);
  }
  if (size > 1) {
    double sums[]{sum, double(result.labels), double(gave_up)};
    ranks->all_reduce(sums, 3, distributed::ReduceOp::sum, "evaluation").wait();
    sum = sums[0], result.labels = std::int64_t(sums[1]), gave_up = sums[2] > 0;
  }
  if (gave_up) return std::nullopt;
  if (size > 1) scores.gather(*ranks);
  result.loss = sum;
  if (!Batch::labels_are_counted_ahead) result.loss = result.labels > 0 ? sum / double(result.labels) : 0;
  result.scores = scores.result(result.loss);
  return result;
}

}  // namespace moderngpt2
