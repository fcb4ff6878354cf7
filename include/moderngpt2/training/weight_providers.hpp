#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/distributed/buckets.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/io/shared_weights.hpp"
#include "moderngpt2/model/init.hpp"
#include "moderngpt2/model/parameters.hpp"
#include "moderngpt2/training/master_weights.hpp"

namespace moderngpt2 {

/// Contiguous elements of one parameter.
struct ParameterRange {
  const ParameterInfo& parameter;
  std::size_t number = 0;  ///< index of the parameter in Model::parameters()
  std::int64_t first = 0, count = 0;
  int threads = 1;  ///< host threads that a provider may use
};

/// Source of a model's weights.
///
///   check(parameters)   throws an Error if the source does not fit the parameters; called before any weight changes
///   read(range, to)     writes the elements of a ParameterRange to a host array, in the array's element type
template <class P>
concept WeightProvider = requires(P& provider, const std::vector<ParameterInfo>& parameters,
                                  const ParameterRange& range, float* to) {
  provider.check(parameters);
  provider.read(range, to);
};

/// Provider of new weights: see initialize_elements(). The config must outlive it.
class FreshWeights {
 public:
  FreshWeights(const Config& config, std::uint64_t seed) : config_(config), seed_(seed) {}

  void check(const std::vector<ParameterInfo>&) const {}
  template <class E>
  void read(const ParameterRange& r, E* to) const {
    initialize_elements(to, r.parameter, r.number, r.first, r.count, config_, seed_, r.threads);
  }

 private:
  const Config& config_;
  std::uint64_t seed_;
};

/// Provider of a checkpoint's weights. check() throws an Error that names a missing, extra or misshaped tensor.
/// Threads: several may read at once.
class FileWeights {
 public:
  /// `file` and `config` must outlive the provider. `config`: config.json of the checkpoint.
  FileWeights(const CheckpointTensors& file, const ConfigFile& config) : file_(file), config_(config) {}

  void check(const std::vector<ParameterInfo>& parameters) const {
    std::vector<std::string> names;
    for (const ParameterInfo& p : parameters) names.push_back(name_in_file(p, config_));
    detail::require_same_tensors(file_, parameters, names, config_.config);
  }
  template <class E>
  void read(const ParameterRange& r, E* to) const {
    file_.read_as(file_.at(name_in_file(r.parameter, config_)), to, r.first, r.count);
  }

 private:
  const CheckpointTensors& file_;
  const ConfigFile& config_;
};

/// Provider of a checkpoint's weights for a model with another head: the whole transformer, and tensors of the head
/// with the same name and shape. The other parameters are initialized randomly. Threads: one at a time.
class TransferredWeights {
 public:
  /// All references must outlive the provider. `config`: config.json of the checkpoint; `model_config` and `seed`:
  /// for the parameters that are initialized randomly.
  TransferredWeights(const CheckpointTensors& file, const ConfigFile& config, const Config& model_config,
                     std::uint64_t seed)
      : file_(file), config_(config), fresh_(model_config, seed) {}

  void check(const std::vector<ParameterInfo>& parameters) {
    shared_ = find_shared_weights(parameters, file_, config_);
  }
  /// Tensors that the model and the file share. Valid after check().
  const SharedWeights& shared() const { return shared_; }

  template <class E>
  void read(const ParameterRange& r, E* to) const {
    if (const TensorInfo* const info = find_shared(file_, config_, r.parameter))
      file_.read_as(*info, to, r.first, r.count);
    else
      fresh_.read(r, to);
  }

 private:
  const CheckpointTensors& file_;
  const ConfigFile& config_;
  FreshWeights fresh_;
  SharedWeights shared_;
};

/// Loads a model's weights from a provider: master weights in full precision, and the model's own, rounded to the type
/// that it computes with. Each rank loads all weights; in ZeRO stage 3, norms, biases and the matrices of its shard.
/// `masters` may be empty, for models that do not train. Throws what the provider throws, and an Error if another
/// thread uses the model.
template <class M, class P>
requires WeightProvider<std::remove_reference_t<P>>
void fill(M& model, const MasterWeights<M>& masters, const distributed::Shard& shard, P&& provider) {
  const auto use = model.exclusive_use();
  const std::vector<ParameterInfo>& parameters = model.parameters();
  provider.check(parameters);
  auto& backend = model.backend();
  auto* const matrices = model.weights().matrices.data();
  const int threads = host_threads(backend);
  for (std::size_t number = 0; number < parameters.size(); ++number) {
    const ParameterInfo& p = parameters[number];
    // first: element of the parameter
    const auto read = [&](std::int64_t first, std::int64_t count, auto* to) {
      write_pieces(backend, to, count, [&](std::int64_t done, std::int64_t n, auto* here) {
        provider.read(ParameterRange{p, number, first + done, n, threads}, here);
      });
    };
    if (!p.is_matrix()) {
      read(0, p.size, model.weights().vectors.data() + p.offset);
      continue;
    }
    std::int64_t end = p.offset;  // end of the elements that have been read
    const auto read_others = [&](std::int64_t until) {
      if (!model.is_sharded() && end < until) read(end - p.offset, until - end, matrices + end);
    };
    for_common_elements(shard.matrices, p.offset, p.size,
                        [&](const distributed::Piece& piece, std::int64_t begin, std::int64_t count) {
                          read_others(begin);
                          end = begin + count;
                          if (masters.buffer().size() == 0) return read(begin - p.offset, count, matrices + begin);
                          auto* const full = masters.matrices(model, piece) + (begin - piece.offset);
                          read(begin - p.offset, count, full);
                          if constexpr (M::rounds_weights) cast(backend, matrices + begin, full, count);
                        });
    read_others(p.offset + p.size);
  }
}

}  // namespace moderngpt2
