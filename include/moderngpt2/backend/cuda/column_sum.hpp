#pragma once

#include <cstdint>
#include <type_traits>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/column_sum.cuh"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

namespace detail {

/// Scratch floats: partial sums of `width` columns.
inline std::int64_t column_sum_scratch(int rows, int width) { return std::int64_t(column_parts(rows)) * width; }

}  // namespace detail

/// Queues sums (C) += sum of the rows of x (N,C), in a fixed order.
template <class X>
void column_sum(Backend& b, Vector<float> sums, Rows<X> x) {
  if (x.count == 0 || sums.size == 0) return;
  x.width = sums.size;
  ColumnSum<std::remove_const_t<X>>{
      .sums = sums.data, .x = x, .partial = b.scratch<float>(detail::column_sum_scratch(x.count, sums.size))}
      .launch(b.stream());
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
