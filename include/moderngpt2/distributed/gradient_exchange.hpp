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
#include "moderngpt2/model/parameters.hpp"

namespace moderngpt2::distributed {

/// Gradients of a step over all ranks (ZeRO, Rajbhandari et al. 2020); new weights go back by UpdateExchange.
///   stage 0: every rank has the sum of all gradients
///   stage 1: a rank has that of its shard, summed after the last pass of a step
///   stages 2, 3: the same, summed after each pass; the gradients of the other shards live only until then
/// The sums of a bucket begin while the backward pass goes on below it. E: element types of gradients; Backend: whose
/// memory they lie in, which `ranks` must reach.
template <class E, class Backend>
class GradientExchange {
 public:
  using Memory = memory_of<Backend>;
  using Gradients = ParameterBuffers<E, Memory>;

  /// `gradients`: zeros, of the layout's sizes; from stage 2 on, a GPU's matrices are as Pages::as_used.
  GradientExchange(CommunicatorBase& ranks, Backend& backend, Layout layout, int stage, Gradients gradients)
      : ranks_(ranks),
        backend_(backend),
        layout_(std::move(layout)),
        stage_(ranks.size() > 1 ? stage : 0),
        full_(std::move(gradients)) {
    if (packs()) {
      commit_memory(backend_, full_.matrices, gradient_memory_use(layout_, sizeof(typename E::MatrixType)));
      zero_and_discard(backend_, full_.matrices.data(), full_.matrices.size());  // not to be in memory all at once
      const Shard own = shard();
      own_ = Gradients(element_count(own.matrices), element_count(own.vectors));
      matrix_pieces_ = own.matrices, vector_pieces_ = own.vectors;
    }
    for (std::size_t i = 0; i <= layout_.matrices().size(); ++i) {
      const std::string of = i < layout_.matrices().size() ? fmt::format("bucket {}", i) : "norms and biases";
      names_.push_back((stage_ == 0 ? "all-reduce of " : "reduce-scatter of ") + of);
    }
    under_way_.resize(names_.size());
  }

  const Layout& layout() const { return layout_; }
  /// What each rank updates.
  Shard shard() const {
    if (stage_ == 0) return Shard::whole(full_.matrices.size(), full_.vectors.size());
    return layout_.shard(ranks_.rank());
  }
  bool is_sharded() const { return stage_ > 0; }
  /// Whether own() is packed as a shard is.
  bool packs() const { return stage_ >= 2; }

  /// What backward passes add to.
  Gradients& gradients() { return full_; }
  /// Where the sums over all ranks are after the last pass: those of the shard, packed or in place.
  const Gradients& own() const { return packs() ? own_ : full_; }

  /// To be called before the first pass of a step.
  void begin_step() { set_to_zero(backend_, packs() ? own_ : full_); }
  /// To be called before each pass of a step.
  void begin_pass(bool is_last) {
    reduces_ = ranks_.size() > 1 && (is_last || packs());
    next_ = finished_ = layout_.matrices().size();
  }
  /// To be told each unit whose gradients are there (see NoGradientHook).
  void ready(int unit) {
    if (!reduces_) return;
    for (std::size_t i = next_; i < finished_; ++i) (void)under_way_[i].done();  // gives the library time to go on
    for (; next_ > 0 && layout_.matrices()[next_ - 1].unit >= unit; --next_) {
      // Two buckets at most are under way and in memory.
      if (packs() && next_ + 1 < finished_) finish(--finished_);
      const Bucket& bucket = layout_.matrices()[next_ - 1];
      under_way_[next_ - 1] = reduce(full_.matrices.data(), bucket, names_[next_ - 1].c_str());
    }
  }
  /// To be called after each pass, also by a rank that had nothing to compute in it.
  void end_pass() {
    if (!reduces_) return;
    ready(0);
    under_way_.back() = reduce(full_.vectors.data(), layout_.vectors(), names_.back().c_str());
    while (finished_ > 0) finish(--finished_);
    under_way_.back().wait();
    if (packs()) take(full_.vectors.data(), layout_.vectors(), vector_pieces_[0], own_.vectors.data());
  }

 private:
  template <class T>
  Request reduce(T* data, const Bucket& bucket, const char* name) {
    if (stage_ == 0) return ranks_.all_reduce(data + bucket.begin, bucket.end - bucket.begin, ReduceOp::sum, name);
    return ranks_.reduce_scatter(data + bucket.begin, layout_.slice(bucket), name);
  }
  void finish(std::size_t i) {
    under_way_[i].wait();
    if (packs()) take(full_.matrices.data(), layout_.matrices()[i], matrix_pieces_[i], own_.matrices.data());
  }
  /// Adds this rank's slice of a bucket to its own gradients, and empties the bucket.
  template <class T>
  void take(T* full, const Bucket& bucket, const Piece& piece, T* own) {
    add_to(backend_, own + piece.at, static_cast<const T*>(full + piece.offset), piece.length);
    zero_and_discard(backend_, full + bucket.begin, bucket.end - bucket.begin);
  }

  CommunicatorBase& ranks_;
  Backend& backend_;
  Layout layout_;
  int stage_;
  Gradients full_, own_;  // own_: from stage 2 on
  std::vector<Piece> matrix_pieces_, vector_pieces_;
  std::vector<std::string> names_;
  std::vector<Request> under_way_;       // one for each bucket of matrices, then the vectors
  std::size_t next_ = 0, finished_ = 0;  // buckets from next_ on are under way, those from finished_ on are done
  bool reduces_ = false;
};

}  // namespace moderngpt2::distributed
