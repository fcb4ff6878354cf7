#pragma once

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/rows.cuh"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Queues out (n,C) = rows index[0..n) of x; index (n) is in GPU memory.
template <class T>
void gather_rows(Backend& b, Rows<T> out, ConstRows<T> x, const int* index) {
  if (out.count == 0) return;
  GatherRows<T>{.out = out, .x = x, .index = index}.launch(b.stream());
}

/// Queues cache[i,pasts[i]] = x[i] for x (B,C) and cache (B,capacity,C); pasts (B) is in GPU memory.
template <class T>
void append_rows(Backend& b, Rows<T> cache, ConstRows<T> x, const int* pasts) {
  if (x.count == 0) return;
  AppendRows<T>{.cache = cache, .x = x, .pasts = pasts}.launch(b.stream());
}

/// Queues dx[index[i]] += dout[i] for dout (n,C); index (n) is in GPU memory and may repeat rows. Sums have a fixed
/// order.
template <class T>
void scatter_rows_add(Backend& b, Rows<T> dx, ConstRows<T> dout, const int* index) {
  if (dout.count == 0) return;
  ScatterRowsAdd<T>{.dx = dx,
                    .dout = dout,
                    .sort = {.ids = index,
                             .count = dout.count,
                             .bound = dx.count,
                             .scratch = b.scratch<int>(SegmentSort::scratch_ints(dout.count))}}
      .launch(b.stream());
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
