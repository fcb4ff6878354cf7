#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/distributed/buckets.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/distributed/gradient_hash.hpp"
#include "moderngpt2/model/parameters.hpp"
#include "moderngpt2/model/unit.hpp"

namespace moderngpt2::distributed {

/// Sums the gradients of a step over all ranks (ZeRO, Rajbhandari et al. 2020). UpdateExchange distributes the updated
/// weights.
///   stage 0     all-reduce after the last pass of a step: every rank has all sums
///   stage 1     reduce-scatter after the last pass of a step: a rank has the sums of its shard
///   stages 2, 3 reduce-scatter after each pass: gradients of other shards are discarded after it
/// Reduction of a bucket overlaps with the rest of the backward pass. E: element types of gradients; Backend: backend
/// that owns their memory, which `ranks` must support. Threads: one at a time.
template <class E, class Backend>
class GradientExchange {
 public:
  using Memory = memory_of<Backend>;
  using Gradients = ParameterBuffers<E, Memory>;
  using Hash = gradient_hash_of<Backend>;

  /// `gradients`: zeros, of the layout's sizes; on a GPU from stage 2 on, matrices allocated with Pages::as_used.
  GradientExchange(CommunicatorBase& ranks, Backend& backend, Layout layout, int stage, Gradients gradients)
      : ranks_(ranks),
        backend_(backend),
        layout_(std::move(layout)),
        stage_(ranks.size() > 1 ? stage : 0),
        full_(std::move(gradients)) {
    if (packs()) {
      commit_memory(backend_, full_.matrices, gradient_memory_use(layout_, sizeof(typename E::MatrixType)));
      zero_and_discard(backend_, full_.matrices.data(), full_.matrices.size());  // frees the pages that the zeros took
      const Shard own = shard();
      own_ = Gradients(element_count(own.matrices), element_count(own.vectors));
      matrix_pieces_ = own.matrices, vector_pieces_ = own.vectors;
    }
    for (std::size_t i = 0; i <= layout_.matrices().size(); ++i) {
      const std::string of = i < layout_.matrices().size() ? fmt::format("bucket {}", i) : "norms and biases";
      names_.push_back((stage_ == 0 ? "all-reduce of " : "reduce-scatter of ") + of);
    }
    requests_.resize(names_.size());
  }

  const Layout& layout() const { return layout_; }
  /// Elements that this rank updates.
  Shard shard() const {
    if (stage_ == 0) return Shard::whole(full_.matrices.size(), full_.vectors.size());
    return layout_.shard(ranks_.rank());
  }
  bool is_sharded() const { return stage_ > 0; }
  /// Whether own() holds the shard only, packed (stages 2, 3).
  bool packs() const { return stage_ >= 2; }

  /// Gradients that backward passes add to.
  Gradients& gradients() { return full_; }
  /// Gradients summed over all ranks, valid after the last pass of a step: of the shard, packed or in place (packs()).
  const Gradients& own() const { return packs() ? own_ : full_; }

  /// Call before the first pass of a step. `hash` (null: none) receives the gradients of this rank's own passes before
  /// they are reduced: all, or those of norms and biases only.
  void begin_step(Hash* hash = nullptr, bool hashes_matrices = false) {
    set_to_zero(backend_, packs() ? own_ : full_);
    vector_hash_ = hash, matrix_hash_ = hashes_matrices ? hash : nullptr;
  }
  /// Call before each pass of a step.
  void begin_pass(bool is_last) {
    is_reducing_ = ranks_.size() > 1 && (is_last || packs());
    next_ = finished_ = layout_.matrices().size();
  }
  /// Starts to reduce the buckets of a unit. Call it when its gradients are complete (see NoGradientHook).
  void ready(Unit unit) {
    if (!is_reducing_) return;
    for (std::size_t i = next_; i < finished_; ++i) (void)requests_[i].done();  // lets the library make progress
    for (; next_ > 0 && layout_.matrices()[next_ - 1].unit >= unit; --next_) {
      // At most two buckets are being reduced at the same time, which bounds the memory.
      if (packs() && next_ + 1 < finished_) finish(--finished_);
      const Bucket& bucket = layout_.matrices()[next_ - 1];
      requests_[next_ - 1] = reduce(full_.matrices.data(), bucket, names_[next_ - 1].c_str(), matrix_hash_);
    }
  }
  /// Reduces the remaining buckets and waits for all. Call after each pass, also on a rank without a batch in it.
  void end_pass() {
    if (!is_reducing_) return;
    ready(Unit::embedding());
    requests_.back() = reduce(full_.vectors.data(), layout_.vectors(), names_.back().c_str(), vector_hash_);
    while (finished_ > 0) finish(--finished_);
    requests_.back().wait();
    if (packs()) accumulate_slice(full_.vectors.data(), layout_.vectors(), vector_pieces_[0], own_.vectors.data());
  }

 private:
  template <class T>
  Request reduce(T* data, const Bucket& bucket, const char* name, Hash* hash) {
    if (hash) hash->add(backend_, static_cast<const T*>(data + bucket.begin), bucket.end - bucket.begin);
    if (stage_ == 0) return ranks_.all_reduce(data + bucket.begin, bucket.end - bucket.begin, ReduceOp::sum, name);
    return ranks_.reduce_scatter(data + bucket.begin, layout_.slice(bucket), name);
  }
  void finish(std::size_t i) {
    requests_[i].wait();
    if (packs())
      accumulate_slice(full_.matrices.data(), layout_.matrices()[i], matrix_pieces_[i], own_.matrices.data());
  }
  /// Adds this rank's slice of a reduced bucket to own_, and sets the bucket to zero.
  template <class T>
  void accumulate_slice(T* full, const Bucket& bucket, const Piece& piece, T* own) {
    add_to(backend_, own + piece.at, static_cast<const T*>(full + piece.offset), piece.length);
    zero_and_discard(backend_, full + bucket.begin, bucket.end - bucket.begin);
  }

  CommunicatorBase& ranks_;
  Backend& backend_;
  Layout layout_;
  int stage_;
  Gradients full_, own_;  // own_: stages 2, 3
  Hash *vector_hash_ = nullptr, *matrix_hash_ = nullptr;
  std::vector<Piece> matrix_pieces_, vector_pieces_;
  std::vector<std::string> names_;
  std::vector<Request> requests_;        // one for each bucket of matrices, then the vectors
  std::size_t next_ = 0, finished_ = 0;  // buckets from next_ on are started, from finished_ on done
  bool is_reducing_ = false;
};

}  // namespace moderngpt2::distributed
