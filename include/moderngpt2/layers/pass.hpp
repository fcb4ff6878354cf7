#pragma once

#include <cstdint>

#include "moderngpt2/backend/calls.hpp"

namespace moderngpt2 {

/// The keys and values of one layer's cache: (B, capacity, K*D) each.
template <class T>
struct KvView {
  T* keys = nullptr;
  T* values = nullptr;
  int capacity = 0;
};

/// What a forward or backward pass knows beside weights and activations. R: the real type of the activations.
template <class R>
struct Pass {
  int batch = 1;
  int time = 1;
  int past = 0;                           ///< tokens already in the cache
  const std::int8_t* key_mask = nullptr;  ///< (B, past + T) attention mask; null: all ones
  const int* first_key = nullptr;         ///< (B,T) document bounds; null: none
  RotaryTable<R> rotary{};

  bool training = false;  ///< dropout on
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  R loss_scale = 1;                 ///< multiplies gradients, not the loss: small ones are lost in fp16
  std::int64_t first_sequence = 0;  ///< place of row 0 in the global batch: masks do not depend on the micro-batch

  constexpr int rows() const { return batch * time; }

  Dropout dropout(RandomUse use, double rate, int layer) const {
    return {training ? rate : 0.0, random_key(seed, use, step, std::uint64_t(layer)), first_sequence};
  }
};

}  // namespace moderngpt2
