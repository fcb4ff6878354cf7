#pragma once

#include <type_traits>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/embedding.cuh"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dropout.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Queues x (N,C) *= mask / (1 - rate), in place. Also its own backward pass. `time`: rows per sequence, for the mask.
template <class T>
void dropout(Backend& b, Rows<T> x, int time, const Dropout& d) {
  if (x.count == 0 || !d.active()) return;
  DropRows<T>{.x = x, .time = time, .dropout = DropoutSite(d)}.launch(b.stream());
}

/// Queues x (N,C) = wte[ids] * scale, then dropout; wte (V,C), ids (N) in GPU memory, in [0, V).
template <class T>
void embedding(Backend& b, Rows<T> x, const int* ids, ConstMatrix<T> wte, float scale, int time, const Dropout& d) {
  if (x.count == 0) return;
  EmbeddingForward<T>{.x = x, .ids = ids, .wte = wte.data, .scale = scale, .time = time, .dropout = DropoutSite(d)}
      .launch(b.stream());
}

/// Queues dwte[ids] (V,C) += dx (N,C) * mask * scale, in the order of the rows; ids (N) in GPU memory.
template <class X>
void embedding_backward(Backend& b, Matrix<float> dwte, const int* ids, Rows<X> dx, float scale, int time,
                        const Dropout& d) {
  if (dx.count == 0) return;
  EmbeddingBackward<std::remove_const_t<X>>{.dwte = {dwte.data, dwte.rows, dwte.cols},
                                            .dx = dx,
                                            .sort = {.ids = ids,
                                                     .count = dx.count,
                                                     .bound = dwte.rows,
                                                     .scratch = b.scratch<int>(SegmentSort::scratch_ints(dx.count))},
                                            .scale = scale,
                                            .time = time,
                                            .dropout = DropoutSite(d)}
      .launch(b.stream());
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
