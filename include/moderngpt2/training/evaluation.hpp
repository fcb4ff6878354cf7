#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/agreement.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/layers/pass.hpp"
#include "moderngpt2/model/session.hpp"

namespace moderngpt2 {

/// Names and values of evaluation metrics, without the prefix "eval_" of logs.
using ScoreList = std::vector<std::pair<std::string, double>>;

/// Loss on held-out data and the metrics of a task.
struct Evaluation {
  double loss = 0;          ///< mean over the labels that are not ignored; nats for cross-entropies; NaN without labels
  std::int64_t labels = 0;  ///< number of labels that are not ignored
  ScoreList scores{};
  std::int64_t step = 0;  ///< step of the run after which the Trainer evaluated; 0 outside of a run

  double perplexity() const { return std::exp(loss); }
  /// Text such as "loss 1.5, accuracy 0.75".
  std::string text() const {
    if (labels == 0) return "without a loss: the evaluation data has no labels";
    std::string text = fmt::format("loss {:.9g}", loss);
    for (const auto& [name, value] : scores) text += fmt::format(", {} {:.6g}", name, value);
    return text;
  }
};

/// Forward pass over examples [first, first + count) of a batch.
template <class R, class Batch>
Pass<R> pass_of(const Batch& batch, std::int64_t first, std::int64_t count) {
  return {.batch = int(count * batch.sequences()),
          .time = batch.time(),
          .key_mask = batch.mask(first),
          .first_sequence = first * batch.sequences()};
}

namespace detail {

/// Passes of an evaluation in the model's own context, with the members of Session that evaluate_passes() uses.
template <class M>
struct OwnContext {
  using R = typename M::R;
  M& own;
  typename M::Work& memory;

  const M& model() const { return own; }
  auto& backend() { return own.backend(); }
  auto& work() { return memory; }
  template <class Labels>
  auto loss(const int* ids, const Labels& labels, const Pass<R>& pass) {
    return own.loss(memory, ids, labels, pass);
  }
  void participate_without_batch() { own.participate_without_batch(); }
};

template <class Passes, class Batch, class Scores, class Proceed>
std::optional<Evaluation> evaluate_passes(Passes& passes, Batch& batch, const typename Batch::Data& data,
                                          int batch_size, Scores&& scores, Proceed&& proceed,
                                          distributed::CommunicatorBase* ranks) {
  const auto use = passes.model().shared_use();
  typename Batch::Divisors divisors{1};
  if constexpr (Batch::labels_are_counted_ahead) divisors = data.divisors();
  double sum = 0;
  Evaluation result;
  const std::int64_t own = ranks ? ranks->rank() : 0, size = ranks ? ranks->size() : 1;
  bool gave_up = false;
  for (std::int64_t round = 0; round < data.size(); round += batch_size * size) {
    if (passes.model().is_sharded() && ranks) gave_up = max_over_ranks(*ranks, gave_up, "signals to stop") > 0;
    if (gave_up) break;
    const std::int64_t first = round + own * batch_size;
    if constexpr (requires { passes.participate_without_batch(); })
      if (first >= data.size()) {
        passes.participate_without_batch();
        break;
      }
    const std::int64_t rows = std::min<std::int64_t>(batch_size, data.size() - first);
    batch.load(data, rows, [&](std::int64_t i) { return first + i; });
    sum += double(
        passes.loss(batch.ids(0), batch.head_labels(0, rows, divisors), pass_of<typename Passes::R>(batch, 0, rows)));
    scores.add(passes.backend(), passes.work().views.head, batch, first);
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
  if (!Batch::labels_are_counted_ahead) result.loss = sum / double(result.labels);
  if (result.labels == 0)
    result.loss = std::numeric_limits<double>::quiet_NaN();
  else
    result.scores = scores.result(result.loss);
  return result;
}

}  // namespace detail

/// Mean loss and metrics of a model over a data set, without dropout, in the model's own context. `scores` receives the
/// head's output for each batch. Calls proceed(examples done) after each batch; if it returns false, evaluation stops
/// without a result. Several `ranks` take batches in rotation, and scores.gather() and an all-reduce give all ranks the
/// same result. For one thread; others see evaluate(model, data, batch_size).
template <class M, class Batch, class Scores, class Proceed>
std::optional<Evaluation> evaluate(M& model, typename M::Work& work, Batch& batch, const typename Batch::Data& data,
                                   int batch_size, Scores&& scores, Proceed&& proceed,
                                   distributed::CommunicatorBase* ranks = nullptr) {
  detail::OwnContext<M> passes{model, work};
  return detail::evaluate_passes(passes, batch, data, batch_size, scores, proceed, ranks);
}

/// Loss and metrics of a model over a data set, without dropout. Task: that of the model, such as LanguageModelling or
/// SequenceClassification; data: its examples, such as the member `eval` of Task::Splits. Allocates a session for
/// batches of `batch_size` examples; `context`: as for Session. Several threads may call it with one model at once.
template <class Task, class M>
Evaluation evaluate(const M& model, const typename Task::Batch::Data& data, int batch_size,
                    std::optional<typename M::Backend>&& context = {}) {
  if (batch_size < 1) throw Error("evaluate: batch_size is {}, it must be positive", batch_size);
  if (data.size() < 1) throw Error("evaluate: the data set is empty");
  const int rows = int(std::clamp<std::int64_t>(data.size(), 1, batch_size));
  typename Task::Batch batch(data, rows, model.config());
  Session<M> session(model, rows * Task::Batch::sequences_of(data), data.block_size(), std::move(context));
  typename Task::Scores scores(data, model.config());
  return *detail::evaluate_passes(
      session, batch, data, rows, scores, [](std::int64_t) { return true; }, nullptr);
}

}  // namespace moderngpt2
