#pragma once

#include <cstdint>
#include <type_traits>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/config/config.hpp"

// What a backend needs for passes of a size beside their tensors, planned and reserved. A backend that needs something
// has both functions of its own, and reserves what it plans:
//
//   pass_memory<T>(std::type_identity<B>, config, size, threads)   how much that is for passes on activations of type T
//   reserve<T>(b, config, size)                                    takes it now, so that no pass has to
namespace moderngpt2 {

/// What a head computes in a pass.
struct HeadSize {
  bool predicts_tokens = false;  ///< logits over the vocabulary, of every token
  int rows = 0;                  ///< hidden states that it scores by a matrix of its own
  int scores = 0;                ///< of each
};

/// The largest of some passes.
struct PassSize {
  int batch = 1;
  int time = 1;
  HeadSize head{};
  int queued = 2;                ///< passes whose inputs the host may have to keep at once
  bool cudnn_attention = false;  ///< wanted of a GPU

  constexpr int rows() const { return batch * time; }
};

/// Bytes.
struct PassMemory {
  std::uint64_t scratch = 0;   ///< of the operations, the workspace of a library's products among it
  std::uint64_t uploaded = 0;  ///< what the host gives a pass, where that is copied to
  std::uint64_t pinned = 0;    ///< the same on the host, where copies begin
};

template <class T, OnHost B>
PassMemory pass_memory(std::type_identity<B>, const Config&, const PassSize&, int /*threads*/) {
  return {};
}

template <class T, OnHost B>
void reserve(B&, const Config&, const PassSize&) {}

}  // namespace moderngpt2
