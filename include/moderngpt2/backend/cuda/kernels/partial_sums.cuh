#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/device.cuh"

// The second half of sums over many rows: what blocks left of their groups, added in a fixed order.
namespace moderngpt2::cuda::detail {

struct PartMemory {
  float sums[8][32];
};

/// n-th of first, second (C) += sum of partial (parts, count, C) over the parts, n = blockIdx.y.
template <int count>
__global__ void __launch_bounds__(256)
    sum_parts_kernel(float* first, float* second, const float* partial, int parts, int width) {
  auto& memory = shared<PartMemory>();
  const int lane = int(threadIdx.x) % 32, group = int(threadIdx.x) / 32, n = int(blockIdx.y);
  const int column = int(blockIdx.x) * 32 + lane;
  float sum = 0;
  if (column < width)
    for (int part = group; part < parts; part += 8) sum += partial[(std::int64_t(part) * count + n) * width + column];
  memory.sums[group][lane] = sum;
  __syncthreads();
  if (group > 0 || column >= width) return;
  for (int g = 1; g < 8; ++g) sum += memory.sums[g][lane];
  (n == 0 ? first : second)[column] += sum;
}

}  // namespace moderngpt2::cuda::detail
