#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "moderngpt2/core/dropout.hpp"

namespace moderngpt2 {

/// Label of a position that has no part in a loss, as in PyTorch and Transformers.
inline constexpr int ignored_label = -100;

/// What varies by layer or call of the attention: sizes, masks and the dropout key.
struct AttentionCall {
  int batch = 1;
  int time = 1;      ///< queries a sequence
  int past = 0;      ///< keys before the first query: the length of the cache
  int key_rows = 1;  ///< rows a sequence in the buffers of k and v, at least past + time
  int n_head = 1;
  int n_kv_head = 1;
  int head_dim = 2;
  double softcap = 0;                     ///< s = c tanh(s / c) before the mask; 0: none
  int window = 0;                         ///< a query sees its last `window` keys; 0: all earlier ones
  const std::int8_t* key_mask = nullptr;  ///< (B, past + T); 0 is padding that no query sees; null: none
  const int* first_key = nullptr;         ///< (B,T) first key that each query may see (document bounds), its own at
                                          ///< the latest; null: 0
  Dropout dropout;                        ///< on the probabilities, keyed by sequence, head, query and key

  constexpr int keys() const { return past + time; }
  constexpr int group() const { return n_head / n_kv_head; }
  /// First key that the query of row (b, t) may see, before the key mask.
  constexpr int begin(int b, int t) const {
    const int by_window = window > 0 ? past + t + 1 - window : 0;
    const int by_document = first_key ? first_key[std::int64_t(b) * time + t] : 0;
    return std::clamp(std::max(by_window, by_document), 0, past + t);
  }
  constexpr bool masked(int b, int key) const { return key_mask && key_mask[std::int64_t(b) * keys() + key] == 0; }

  /// A query all of whose keys are padding attends evenly to the keys of which exactly one of position and padding
  /// hides them: the padding before it and the tokens after it. So does the model's reference, which adds a large
  /// negative number for each mask; the loss of the first token after left padding depends on it.
  constexpr bool sees_only_padding(int b, int t) const {
    if (!key_mask) return false;
    for (int key = begin(b, t); key <= past + t; ++key)
      if (!masked(b, key)) return false;
    return true;
  }
  constexpr bool in_uniform_fallback(int b, int t, int key) const {
    const bool by_position = key >= begin(b, t) && key <= past + t;
    return by_position == masked(b, key);
  }
  constexpr int uniform_fallback_keys(int b, int t) const {
    int n = 0;
    for (int key = 0; key < keys(); ++key) n += in_uniform_fallback(b, t, key);
    return n;
  }
};

/// cos and sin of position * inv_freq[i], (positions, D/2) each.
template <class R>
struct RotaryTable {
  const R* cosine = nullptr;
  const R* sine = nullptr;
  int half = 0;
  int positions = 0;
};

/// What PyTorch's clip_grad_norm_ multiplies gradients by. A limit of 0 does not clip.
constexpr double clip_coefficient(double norm, double max_norm) {
  return max_norm > 0 ? std::min(1.0, max_norm / (norm + 1e-6)) : 1.0;
}

/// How the update of a step follows from its loss and the norm of its gradients, in double wherever it is worked out.
struct UpdateRule {
  double max_grad_norm = 0;  ///< 0: gradients are not clipped
  double loss_scale = 1;     ///< gradients are so many times those of the loss; their norm is without it

  constexpr double gradient_scale(double norm) const { return clip_coefficient(norm, max_grad_norm) / loss_scale; }
  /// Whether the weights change: not where something is infinite or not a number.
  static constexpr bool applies(double loss, double norm) { return is_finite(loss) && is_finite(norm); }

 private:
  static constexpr bool is_finite(double x) {
    return x >= std::numeric_limits<double>::lowest() && x <= std::numeric_limits<double>::max();
  }
};

/// The same, worked out in the memory of a backend that knows a step's sums before the host does.
struct UpdateDecision {
  float gradient_scale = 1;
  std::int32_t applies = 0;
};

/// AdamW of one step (Loshchilov & Hutter 2019). Decay multiplies the weight by 1 - learning_rate * weight_decay.
struct AdamWStep {
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0;
  double gradient_scale = 1;                 ///< multiplies every gradient: clipping
  const UpdateDecision* decision = nullptr;  ///< in the backend's memory, in place of gradient_scale; null: none
  std::int64_t step = 1;                     ///< counts from 1, for the bias correction
};

}  // namespace moderngpt2
