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
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/io/shared_weights.hpp"
#include "moderngpt2/model/init.hpp"
#include "moderngpt2/model/parameters.hpp"
#include "moderngpt2/model/weight_source.hpp"
#include "moderngpt2/training/settings.hpp"

namespace moderngpt2 {

/// How buffers of `matrices` and `vectors` elements lie over the processes of a run. Layers: a Decoder.
template <class Layers>
distributed::Layout make_layout(const Layers& layers, const TrainingSettings& s, std::int64_t matrices,
                                std::int64_t vectors, int ranks) {
  if (s.shards_weights()) return distributed::Layout::by_unit(layers.all_unit_begins(), matrices, vectors, ranks);
  return {layers.unit_begins(), matrices, vectors, ranks, s.bucket_elements};
}

/// The same of a model. Throws an Error where its buffers are not padded for so many processes.
template <class M>
distributed::Layout layout_of(const M& model, const TrainingSettings& s, int ranks) {
  const std::int64_t granule = distributed::buffer_granule(ranks);
  const std::int64_t matrices = model.weights().matrices.size(), vectors = model.weights().vectors.size();
  if (s.world_size != ranks || matrices % granule || vectors % granule)
    throw Error("internal: settings or model are not made for {} ranks", ranks);
  return make_layout(model.layers(), s, matrices, vectors, ranks);
}

/// Of buffers of which a run needs parts only at a time, or all.
inline Pages pages_of(const TrainingSettings& s) { return s.shards_weights() ? Pages::as_used : Pages::at_once; }

/// Of gradients: those of stage 2 that are on the host get their pages at once, for they are larger ones then, and give
/// them back.
template <class M>
Pages pages_of_gradients(const TrainingSettings& s) {
  if (OnHost<typename M::Backend>) return pages_of(s);
  return s.world_size > 1 && s.zero_stage >= 2 ? Pages::as_used : Pages::at_once;
}

/// f(parameter, its place in the list, first element of it, count, piece, where these begin in the flat buffer) for the
/// matrices of a shard.
template <class M, class F>
void for_matrices_of_shard(const M& model, const distributed::Shard& shard, F&& f) {
  const auto& table = model.parameters();
  for (std::size_t i = 0; i < table.size(); ++i)
    if (const ParameterInfo& info = table[i]; info.is_matrix())
      for_common_elements(shard.matrices, info.offset, info.size,
                          [&](const distributed::Piece& piece, std::int64_t begin, std::int64_t n) {
                            f(info, i, begin - info.offset, n, piece, begin);
                          });
}

/// Fresh weights of a shard, those of Model::initialize(); all norms and biases.
template <class M>
void initialize_shard(M& model, const distributed::Shard& shard, std::uint64_t seed) {
  auto& weights = model.weights();
  for_matrices_of_shard(model, shard,
                        [&](const ParameterInfo& p, std::size_t number, std::int64_t first, std::int64_t n,
                            const distributed::Piece&, std::int64_t at) {
                          write_pieces(model.backend(), weights.matrices.data() + at, n,
                                       [&](std::int64_t done, std::int64_t count, auto* to) {
                                         initialize_elements(to, p, number, first + done, count, model.config(), seed,
                                                             host_threads(model.backend()));
                                       });
                        });
  fill(model.backend(), weights.vectors.data(), weights.vectors.size(), typename M::FullElements::VectorType(0));
}

namespace detail {

/// Reads those parameters of a shard for which tensor_of(parameter) is not null.
template <class M, class F>
void read_shard(M& model, const distributed::Shard& shard, const CheckpointTensors& file, F&& tensor_of) {
  auto& weights = model.weights();
  for_matrices_of_shard(model, shard,
                        [&](const ParameterInfo& p, std::size_t, std::int64_t first, std::int64_t n,
                            const distributed::Piece&, std::int64_t at) {
                          const TensorInfo* const info = tensor_of(p);
                          if (!info) return;
                          write_pieces(model.backend(), weights.matrices.data() + at, n,
                                       [&](std::int64_t done, std::int64_t count, auto* to) {
                                         file.read_as(*info, to, first + done, count);
                                       });
                        });
  for (const ParameterInfo& p : model.parameters())
    if (const TensorInfo* const info = p.is_matrix() ? nullptr : tensor_of(p))
      read_tensor(model.backend(), ParameterPlaces(weights), p, file, *info);
}

}  // namespace detail

/// The same from a file, as load_weights() reads it.
template <class M>
void load_shard(M& model, const distributed::Shard& shard, const CheckpointTensors& file, const ConfigFile& config) {
  std::vector<std::string> names;
  for (const ParameterInfo& p : model.parameters()) names.push_back(name_in_file(p, config));
  detail::require_same_tensors(file, model.parameters(), names, config.config);
  detail::read_shard(model, shard, file, [&](const ParameterInfo& p) { return &file.at(name_in_file(p, config)); });
}

/// The same as load_shared_weights() reads it.
template <class M>
void load_shared_shard(M& model, const distributed::Shard& shard, const CheckpointTensors& file,
                       const ConfigFile& config) {
  detail::read_shard(model, shard, file, [&](const ParameterInfo& p) { return find_shared(file, config, p); });
}

/// Whether no weight of a shard is infinite or not a number. Waits for the backend.
template <class M>
bool has_finite_weights(M& model, const distributed::Shard& shard) {
  double sum = 0;
  for (const distributed::Piece& p : shard.matrices)
    sum += double(sum_of_squares(model.backend(), model.weights().matrices.data() + p.offset, p.length));
  for (const distributed::Piece& p : shard.vectors)
    sum += double(sum_of_squares(model.backend(), model.weights().vectors.data() + p.offset, p.length));
  return std::isfinite(sum);
}

/// Which buckets hold the matrices of each unit of a model.
template <class M>
distributed::UnitBuckets unit_buckets(const M& model, const distributed::Layout& layout) {
  return {layout, model.layers().all_unit_begins(), model.layers().head_reads_embedding()};
}

/// While it lives, a model has the matrices of its rank's shard only, and its passes gather the others (ZeRO stage 3).
template <class M>
class ShardedWeights {
 public:
  /// `device_ranks` reach the model's memory; they are the same ranks. Forgets weights that the model has.
  ShardedWeights(M& model, distributed::CommunicatorBase& ranks, distributed::CommunicatorBase& device_ranks,
                 const distributed::Layout& layout)
      : exchange_(ranks, device_ranks, model.backend(), layout, unit_buckets(model, layout), model.weights().matrices),
        use_(model, exchange_) {}

  /// Runs f() on rank 0, where it may use the model as it likes; the others bring the weights for that.
  template <class F>
  void lead(F&& f) {
    exchange_.run_on_rank0(std::forward<F>(f));
  }

 private:
  using Element = std::remove_reference_t<decltype(*std::declval<M&>().weights().matrices.data())>;

  distributed::ParameterExchange<Element, typename M::Backend> exchange_;
  WeightSourceUse<M> use_;
};

}  // namespace moderngpt2
