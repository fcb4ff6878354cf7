#pragma once

#include <cstdint>
#include <span>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2 {

/// Places rows (count,width) in an arena.
template <class T>
constexpr Rows<T> take_rows(Arena& arena, int count, int width) {
  return {arena.take<T>(std::int64_t(count) * width), count, width};
}

/// Cached keys and values of one layer, (B,capacity,KD) each.
template <class T>
struct KvView {
  T* keys = nullptr;
  T* values = nullptr;
  int capacity = 0;  ///< tokens; 0: no cache
};

/// Returns the data of an array of a pass. Throws an Error if it does not have `size` elements.
inline const int* require_size(std::span<const int> values, std::int64_t size, const char* what) {
  if (std::int64_t(values.size()) != size)
    throw Error("{}: {} elements, but the pass needs {} (see its batch and time)", what, values.size(), size);
  return values.data();
}

/// Inputs of a forward or backward pass in addition to token ids, weights and activations: sizes, masks, positions,
/// dropout and loss scale. R: real type of the activations.
template <class R>
struct Pass {
  int batch = 1;                          ///< B, sequences
  int time = 1;                           ///< T, tokens of each sequence in this pass
  int past = 0;                           ///< tokens of each sequence in the cache; with `pasts`, of the longest
  const std::int8_t* key_mask = nullptr;  ///< (B,past+T) attention mask, 0 for padding; null: no padding
  const int* first_key = nullptr;         ///< (B,T) first key that a token attends to (documents packed
                                          ///< in one sequence); null: 0
  const int* pasts = nullptr;             ///< (B) tokens of each sequence in the cache, for passes of one token a
                                          ///< sequence with a cache and without key_mask; null: `past` for all
  RotaryTable<R> rotary{};

  bool training = false;  ///< enables dropout
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  R loss_scale = 1;                 ///< multiplies gradients, not the loss, against underflow in fp16
  R label_smoothing = 0;            ///< fraction of each label that is spread over all classes, 0 to 1
  std::int64_t first_sequence = 0;  ///< index of row 0 in the global batch, so that dropout ignores micro-batches

  constexpr int rows() const { return batch * time; }

  /// Returns ids (B,T). Throws an Error if there are more or fewer.
  const int* ids_of(std::span<const int> ids) const { return require_size(ids, std::int64_t(batch) * time, "ids"); }

  /// Throws an Error if the sequences are longer than a model's n_positions.
  void check_length(int n_positions) const {
    if (past < 0) throw Error("a pass has {} tokens in the cache", past);
    if (const std::int64_t length = std::int64_t(past) + time; length > n_positions)
      throw Error("a sequence of {} tokens is longer than the model's n_positions {}", length, n_positions);
  }
  /// Throws an Error if ids (B,T) in host memory are null or outside of the vocabulary.
  void check_ids(const int* ids, int vocab_size) const {
    if (!ids) throw Error("ids are null, a pass of batch {} and time {} needs them", batch, time);
    for (int i = 0; i < rows(); ++i)
      if (ids[i] < 0 || ids[i] >= vocab_size)
        throw Error("token id {} at row {}, column {} is outside the vocabulary of {}", ids[i], i / time, i % time,
                    vocab_size);
  }
  /// Throws an Error if `pasts`, in host memory, is given for a pass that does not support it, or contradicts `past`.
  void check_pasts() const {
    if (!pasts) return;
    if (time != 1 || key_mask || training)
      throw Error(
          "internal: Pass::pasts is for decoding: one token a sequence (here {}), no key mask (here {}), no training "
          "(here {})",
          time, key_mask != nullptr, training);
    for (int b = 0; b < batch; ++b)
      if (pasts[b] < 0 || pasts[b] > past)
        throw Error("internal: sequence {} has {} tokens in the cache, expected 0 to Pass::past {}", b, pasts[b], past);
  }

  /// Throws an Error if a first key, in host memory, is negative or after its token.
  void check_first_keys() const {
    for (int i = 0; first_key && i < rows(); ++i) {
      const int own = (pasts ? pasts[i / time] : past) + i % time;
      if (first_key[i] < 0 || first_key[i] > own)
        throw Error("first_key is {} at row {}, column {}, expected 0 to {}, the token's own position", first_key[i],
                    i / time, i % time, own);
    }
  }

  /// Dropout of a layer in this pass; its rate is 0 unless `training`.
  Dropout dropout(RandomUse use, double rate, int layer) const {
    return {training ? rate : 0.0, random_key(seed, use, step, std::uint64_t(layer)), first_sequence};
  }
};

}  // namespace moderngpt2
