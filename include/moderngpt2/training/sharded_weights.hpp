#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/distributed/buckets.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/distributed/parameter_exchange.hpp"
#include "moderngpt2/distributed/unit_buckets.hpp"
#include "moderngpt2/model/weight_source.hpp"
#include "moderngpt2/training/settings.hpp"

namespace moderngpt2 {

/// Partition of flat buffers of `matrices` and `vectors` elements over ranks. Layers: a Decoder.
template <class Layers>
distributed::Layout make_layout(const Layers& layers, const TrainingSettings& s, std::int64_t matrices,
                                std::int64_t vectors, int ranks) {
  if (s.shards_weights()) return distributed::Layout::by_unit(layers.all_unit_begins(), matrices, vectors, ranks);
  return {layers.unit_begins(), matrices, vectors, ranks, s.bucket_elements};
}

/// Partition of a model's buffers over ranks. Throws an Error if the buffers are not padded for that number of ranks.
template <class M>
distributed::Layout layout_of(const M& model, const TrainingSettings& s, int ranks) {
  const std::int64_t granule = distributed::buffer_granule(ranks);
  const std::int64_t matrices = model.weights().matrices.size(), vectors = model.weights().vectors.size();
  if (s.world_size != ranks || matrices % granule || vectors % granule)
    throw Error("internal: settings or model are not made for {} ranks", ranks);
  return make_layout(model.layers(), s, matrices, vectors, ranks);
}

/// Page allocation of weights: on demand in ZeRO stage 3, where a rank uses only parts of the buffer at a time.
inline Pages pages_of(const TrainingSettings& s) { return s.shards_weights() ? Pages::as_used : Pages::at_once; }

/// Page allocation of gradients: on demand from ZeRO stage 2 on for GPUs, in stage 3 for the host. In stage 2 the host
/// allocates them at once, which gives huge pages, and releases them after use.
template <class M>
Pages pages_of_gradients(const TrainingSettings& s) {
  if (OnHost<typename M::Backend>) return pages_of(s);
  return s.world_size > 1 && s.zero_stage >= 2 ? Pages::as_used : Pages::at_once;
}

/// Whether all weights of a shard are finite. Waits for the backend.
template <class M>
bool has_finite_weights(M& model, const distributed::Shard& shard) {
  double sum = 0;
  for (const distributed::Piece& p : shard.matrices)
    sum += double(sum_of_squares(model.backend(), model.weights().matrices.data() + p.offset, p.length));
  for (const distributed::Piece& p : shard.vectors)
    sum += double(sum_of_squares(model.backend(), model.weights().vectors.data() + p.offset, p.length));
  return std::isfinite(sum);
}

/// Buckets that hold the matrices of each unit of a model.
template <class M>
distributed::UnitBuckets unit_buckets(const M& model, const distributed::Layout& layout) {
  return {layout, model.layers().all_unit_begins(), model.layers().head_reads_embedding()};
}

/// Keeps only the matrices of this rank's shard in a model, during its lifetime; passes gather the others (ZeRO stage
/// 3). Threads: one at a time.
template <class M>
class ShardedWeights {
 public:
  /// `device_ranks`: the same ranks as `ranks`, with access to the model's memory. Discards the model's current
  /// matrices.
  ShardedWeights(M& model, distributed::CommunicatorBase& ranks, distributed::CommunicatorBase& device_ranks,
                 const distributed::Layout& layout)
      : exchange_(ranks, device_ranks, model.backend(), layout, unit_buckets(model, layout), model.weights().matrices),
        use_(model, exchange_) {}

  /// Runs f() on rank 0 while the other ranks serve its weight gathers.
  template <class F>
  void run_on_rank0(F&& f) {
    exchange_.run_on_rank0(std::forward<F>(f));
  }

 private:
  using Element = std::remove_reference_t<decltype(*std::declval<M&>().weights().matrices.data())>;

  distributed::ParameterExchange<Element, typename M::Backend> exchange_;
  WeightSourceUse<M> use_;
};

}  // namespace moderngpt2
