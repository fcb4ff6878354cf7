#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

#include "moderngpt2/data/blocks.hpp"
#include "moderngpt2/layers/pass.hpp"
#include "moderngpt2/training/batch.hpp"

namespace moderngpt2 {

/// The loss on held-out blocks.
struct Evaluation {
  double loss = 0;  ///< mean cross-entropy over all labels that count, nats
  std::int64_t labels = 0;

  double perplexity() const { return std::exp(loss); }
};

/// The mean loss of a language model over a data set, dropout off. `proceed(done)` is told how many blocks are done,
/// and gives up by returning false: then there is no result.
template <class M, class Proceed>
std::optional<Evaluation> evaluate(M& model, typename M::Work& work, TokenBatch& batch, const BlockDataset& data,
                                   int batch_size, Proceed&& proceed) {
  using Labels = typename M::Head::Labels;
  double sum = 0;
  Evaluation result;
  for (std::int64_t first = 0; first < data.size();) {
    const std::int64_t rows = std::min<std::int64_t>(batch_size, data.size() - first);
    batch.load(data, rows, [&](std::int64_t i) { return first + i; });
    const Pass<typename M::R> pass{.batch = int(rows), .time = batch.time(), .key_mask = batch.mask(0)};
    sum += double(model.loss(work, batch.ids(0), Labels{batch.labels(0), 1}, pass));
    result.labels += batch.valid();
    first += rows;
    if (!proceed(first)) return std::nullopt;
  }
  result.loss = result.labels > 0 ? sum / double(result.labels) : 0;
  return result;
}

}  // namespace moderngpt2
