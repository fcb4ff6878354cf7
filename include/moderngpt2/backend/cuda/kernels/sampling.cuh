#pragma once

#include <cstdint>
#include <limits>

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/backend/token_choice.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

// Kernels of this file and the structs that launch them: argument values, views of GPU memory, and launch(stream),
// which queues the kernels.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// TokenChoice as a kernel argument; its lists of seen and removed tokens lie in one array.
struct TokenRule {
  double temperature, top_p, min_p, repetition_penalty, uniform;
  int row;  ///< row of the logits
  int top_k;
  int seen, removed, end;  ///< offsets: begin of the seen tokens, begin and end of the removed ones
  bool do_sample;
};

/// tokens (n) = next token for each rule, or a code of token_choice.hpp. Overwrites the logits with those that
/// generation/sampler.hpp draws from.
template <class T>
struct ChooseTokens {
  Rows<T> logits;
  const TokenRule* rules;  ///< (n)
  const int* lists;
  int* tokens;
  int n;

  void launch(cudaStream_t stream) const;
};

#ifdef MODERNGPT2_CUDA_KERNELS

// Chooses tokens without sorting, by radix selection: logits become unsigned integers of the same order, and a
// threshold is found 8 bits at a time. Probabilities are integers too, so that sums do not depend on the order of
// addition.
namespace detail {

using Word = unsigned long long;

struct SamplingMemory {
  Word bins[256];
  Word of_warp[32];
  Word found[2];
  int bad;
};

inline constexpr float removed = -std::numeric_limits<float>::infinity();

/// Unsigned integer that orders like x; -0 and 0 are equal.
MODERNGPT2_DEVICE unsigned order_of(float x) {
  const unsigned bits = __float_as_uint(x + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
/// Inverse of order_of.
MODERNGPT2_DEVICE float number_of(unsigned order) {
  return __uint_as_float(order & 0x80000000u ? order & 0x7fffffffu : ~order);
}

MODERNGPT2_DEVICE Word warp_total(Word x) {
  for (int by = 16; by > 0; by /= 2) x += __shfl_xor_sync(full_mask, x, by);
  return x;
}
MODERNGPT2_DEVICE Word warp_largest(Word x) {
  for (int by = 16; by > 0; by /= 2) {
    const Word other = __shfl_xor_sync(full_mask, x, by);
    x = other > x ? other : x;
  }
  return x;
}
/// Inclusive prefix sum over the lanes of the warp.
MODERNGPT2_DEVICE Word warp_running_total(Word x) {
  for (int by = 1; by < 32; by *= 2) {
    const Word other = __shfl_up_sync(full_mask, x, unsigned(by));
    if (int(threadIdx.x) % 32 >= by) x += other;
  }
  return x;
}

/// Sum or maximum over the block, in every thread.
template <bool largest>
MODERNGPT2_DEVICE Word over_block(Word x, SamplingMemory& memory) {
  const int lane = int(threadIdx.x) % 32, warps = int(blockDim.x) / 32;
  x = largest ? warp_largest(x) : warp_total(x);
  __syncthreads();
  if (lane == 0) memory.of_warp[threadIdx.x / 32] = x;
  __syncthreads();
  x = lane < warps ? memory.of_warp[lane] : 0;
  return largest ? warp_largest(x) : warp_total(x);
}

/// Adds the weights of the lanes to bins. `topmost`: the most significant bits, for which a warp has few distinct
/// values, so lanes with the same bin are summed before the atomic addition.
MODERNGPT2_DEVICE void add_to_bins(Word* bins, int bin, Word weight, bool topmost) {
  if (!topmost) {
    if (weight > 0) atomicAdd(&bins[bin], weight);
    return;
  }
  unsigned left = __ballot_sync(full_mask, weight > 0);
  while (left) {
    const int leader = __ffs(int(left)) - 1;
    const int its = __shfl_sync(full_mask, bin, leader);
    const bool same = weight > 0 && bin == its;
    const Word sum = warp_total(same ? weight : 0);
    if (int(threadIdx.x) % 32 == leader) atomicAdd(&bins[bin], sum);
    left &= ~__ballot_sync(full_mask, same);
  }
}

struct Threshold {
  unsigned key;
  Word below;  ///< total weight of smaller keys
};

/// Smallest key for which the weights weight(x) of all elements up to it sum to more than `limit`. The total must
/// exceed `limit`.
template <class W>
MODERNGPT2_DEVICE Threshold first_beyond(const float* row, int width, Word limit, SamplingMemory& memory, W weight) {
  const int lane = int(threadIdx.x) % 32;
  unsigned prefix = 0;
  Word below = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = int(threadIdx.x); i < 256; i += int(blockDim.x)) memory.bins[i] = 0;
    __syncthreads();
    for (int first = 0; first < width; first += int(blockDim.x)) {
      const int i = first + int(threadIdx.x);
      const float x = i < width ? row[i] : 0.0f;
      const unsigned key = order_of(x);
      const bool counts = i < width && (shift == 24 || key >> (shift + 8) == prefix);
      add_to_bins(memory.bins, int(key >> shift & 255), counts ? weight(x) : 0, shift == 24);
    }
    __syncthreads();
    if (threadIdx.x < 32) {
      Word mine = 0;
      for (int i = 0; i < 8; ++i) mine += memory.bins[8 * lane + i];
      const Word up_to = below + warp_running_total(mine);
      const int first = __ffs(int(__ballot_sync(full_mask, up_to > limit))) - 1;
      if (lane == first) {
        int bin = 8 * lane;
        Word sum = up_to - mine;
        for (; sum + memory.bins[bin] <= limit; ++bin) sum += memory.bins[bin];
        memory.found[0] = Word(bin), memory.found[1] = sum;
      }
    }
    __syncthreads();
    prefix = prefix << 8 | unsigned(memory.found[0]);
    below = memory.found[1];
  }
  return {prefix, below};
}

/// Removes the first `count` logits that equal a key.
MODERNGPT2_DEVICE void remove_first_equals(float* row, int width, unsigned key, Word count) {
  if (threadIdx.x >= 32) return;
  const int lane = int(threadIdx.x);
  Word done = 0;
  for (int first = 0; first < width && done < count; first += 32) {
    const bool equal = first + lane < width && order_of(row[first + lane]) == key;
    const unsigned equals = __ballot_sync(full_mask, equal);
    if (equal && done + Word(__popc(equals & ((1u << lane) - 1))) < count) row[first + lane] = removed;
    done += Word(__popc(equals));
  }
}

/// Draws a token by inverse transform sampling: each warp sums one part of the row, then the warp whose part contains
/// the target finds the element.
template <class W>
MODERNGPT2_DEVICE void draw(int* token, const float* row, int width, double uniform, SamplingMemory& memory, W weight) {
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32, warps = int(blockDim.x) / 32;
  const int part = (width + warps * 32 - 1) / (warps * 32) * 32, begin = warp * part;
  const int end = begin + part < width ? begin + part : width;
  Word mine = 0;
  for (int i = begin + lane; i < end; i += 32) mine += weight(row[i]);
  mine = warp_total(mine);
  __syncthreads();
  if (lane == 0) memory.of_warp[warp] = mine;
  __syncthreads();
  const Word up_to_lane = warp_running_total(lane < warps ? memory.of_warp[lane] : 0);
  const Word total = __shfl_sync(full_mask, up_to_lane, 31);
  Word sum = __shfl_sync(full_mask, up_to_lane, warp) - mine;
  Word target = Word(uniform * double(total));
  if (target >= total) target = total - 1;
  if (target < sum || target >= sum + mine) return;
  for (int first = begin; first < end; first += 32) {
    const int i = first + lane;
    const Word running = sum + warp_running_total(i < end ? weight(row[i]) : 0);
    const unsigned beyond = __ballot_sync(full_mask, running > target);
    if (beyond) {
      if (lane == 0) *token = first + __ffs(int(beyond)) - 1;
      return;
    }
    sum = __shfl_sync(full_mask, running, 31);
  }
}

/// One block per token. Order of operations as in generation/sampler.hpp.
template <class T>
__global__ void __launch_bounds__(1024, 1) choose_tokens_kernel(const ChooseTokens<T> a) {
  auto& memory = shared<SamplingMemory>();
  const TokenRule rule = a.rules[blockIdx.x];
  float* const row = a.logits.row(rule.row);
  const int width = a.logits.width, thread = int(threadIdx.x), step = int(blockDim.x);
  int* const token = a.tokens + blockIdx.x;

  if (thread == 0) memory.bad = 0;
  __syncthreads();
  for (int i = thread; i < width; i += step)
    if (!(row[i] <= std::numeric_limits<float>::max())) atomicOr(&memory.bad, 1);
  __syncthreads();
  if (memory.bad) {
    if (thread == 0) *token = not_finite_token;
    return;
  }
  for (int i = rule.seen + thread; i < rule.removed; i += step) {
    float& x = row[a.lists[i]];
    x = float(x < 0 ? double(x) * rule.repetition_penalty : double(x) / rule.repetition_penalty);
  }
  __syncthreads();
  for (int i = rule.removed + thread; i < rule.end; i += step) row[a.lists[i]] = removed;
  __syncthreads();

  // Arg max; the first of equals.
  Word best = 0;
  for (int i = thread; i < width; i += step) {
    if (rule.do_sample && rule.temperature != 1) row[i] = float(double(row[i]) / rule.temperature);
    const Word key = Word(order_of(row[i])) << 32 | (0xffffffffu - unsigned(i));
    best = key > best ? key : best;
  }
  best = over_block<true>(best, memory);
  const float top = number_of(unsigned(best >> 32));
  if (!rule.do_sample || top == removed) {
    if (thread == 0) *token = top == removed ? no_token : int(0xffffffffu - unsigned(best));
    return;
  }

  if (rule.top_k > 0 && rule.top_k < width) {
    const unsigned least =
        first_beyond(row, width, Word(width - rule.top_k), memory, [](float) { return Word(1); }).key;
    for (int i = thread; i < width; i += step)
      if (order_of(row[i]) < least) row[i] = removed;
    __syncthreads();
  }

  // Probabilities relative to the largest, scaled so that their sum fits a 64-bit integer.
  const double unit = double(Word(1) << (30 + __clz(width)));
  // Weights below 1 round to 0, removed tokens included; skipping them saves an exponential in double.
  const auto weight = [=](float x) { return x - top < -43 ? 0 : Word(exp(double(x - top)) * unit); };
  if (rule.top_p < 1) {
    Word total = 0;
    for (int i = thread; i < width; i += step) total += weight(row[i]);
    total = over_block<false>(total, memory);
    Word limit = Word((1 - rule.top_p) * double(total));
    if (limit >= total) limit = total - 1;
    const Threshold least = first_beyond(row, width, limit, memory, weight);
    for (int i = thread; i < width; i += step)
      if (order_of(row[i]) < least.key) row[i] = removed;
    __syncthreads();
    remove_first_equals(row, width, least.key, (limit - least.below) / weight(number_of(least.key)));
    __syncthreads();
  }
  if (rule.min_p > 0) {
    for (int i = thread; i < width; i += step)
      if (row[i] != removed && exp(double(row[i] - top)) < rule.min_p) row[i] = removed;
    __syncthreads();
  }
  draw(token, row, width, rule.uniform, memory, weight);
}

}  // namespace detail

template <class T>
void ChooseTokens<T>::launch(cudaStream_t stream) const {
  const int warps = (logits.width + 31) / 32;
  cuda::launch(stream, detail::choose_tokens_kernel<T>, unsigned(n), unsigned(32 * (warps < 32 ? warps : 32)), 0,
               *this);
}

MODERNGPT2_CUDA_INSTANTIATE_FLOAT(ChooseTokens);

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
