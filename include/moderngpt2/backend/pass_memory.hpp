#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/config/config.hpp"

// Memory of a backend for passes, beside their tensors: scratch and buffers for uploads. A backend that uses any
// implements two functions, which must agree:
//
//   pass_memory<T>(std::type_identity<B>, config, size, threads)   bytes for passes on activations of type T
//   reserve<T>(b, config, size)                                    allocates them, so that no pass allocates
namespace moderngpt2 {

/// Size of the work of a head in a pass.
struct HeadSize {
  bool predicts_tokens = false;  ///< computes logits over the vocabulary for every token
  int rows = 0;                  ///< hidden states scored by a matrix of the head
  int scores = 0;                ///< scores for each of these rows
};

/// Sizes of a layer's operations where they exceed those of the config, so that memory is planned for them; 0: as in
/// the config.
struct OperationSizes {
  int n_head = 0;     ///< attention: query heads
  int group = 0;      ///< attention: query heads that share a key/value head
  int head_dim = 0;   ///< attention: channels of a head
  int width = 0;      ///< channels of rows with a norm, or with a bias; set from the vectors that a layer describes
  int norm_rows = 0;  ///< rows of a norm for each token, such as the heads of a norm of queries

  /// Maximum of each size.
  constexpr void include(const OperationSizes& other) {
    n_head = std::max(n_head, other.n_head), group = std::max(group, other.group);
    head_dim = std::max(head_dim, other.head_dim), width = std::max(width, other.width);
    norm_rows = std::max(norm_rows, other.norm_rows);
  }
};

/// Upper bounds on the passes of a run.
struct PassSize {
  int batch = 1;  ///< sequences
  int time = 1;   ///< tokens of each sequence
  HeadSize head{};
  OperationSizes operations{};
  int queued = 2;                ///< passes whose inputs the host may have to keep at the same time
  bool cudnn_attention = false;  ///< requests attention by cuDNN on a GPU

  constexpr int rows() const { return batch * time; }
};

/// Memory of a backend for passes, in bytes.
struct PassMemory {
  std::uint64_t scratch = 0;   ///< scratch of operations, including library workspaces
  std::uint64_t uploaded = 0;  ///< uploaded inputs of a pass, in device memory
  std::uint64_t pinned = 0;    ///< pinned host memory from which inputs are uploaded
};

template <class T, OnHost B>
PassMemory pass_memory(std::type_identity<B>, const Config&, const PassSize&, int /*threads*/) {
  return {};
}

template <class T, OnHost B>
void reserve(B&, const Config&, const PassSize&) {}

}  // namespace moderngpt2
