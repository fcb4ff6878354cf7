#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "moderngpt2/core/dropout.hpp"

namespace moderngpt2 {

/// Label of a position that a loss ignores, as in PyTorch and Transformers.
inline constexpr int ignored_label = -100;

/// Arguments of an attention operation beside its tensors: sizes, softcap, masks and dropout.
struct AttentionCall {
  int batch = 1;     ///< sequences
  int time = 1;      ///< queries of each sequence
  int past = 0;      ///< keys before the first query: the length of the KV cache; with `pasts`, the largest
  int key_rows = 1;  ///< rows of each sequence in the buffers of k and v, at least past + time
  int n_head = 1;
  int n_kv_head = 1;
  int head_dim = 2;
  double softcap = 0;                     ///< c of s = c tanh(s / c), before the mask; 0: none
  int window = 0;                         ///< sliding window: keys that a query sees; 0: all earlier ones
  const std::int8_t* key_mask = nullptr;  ///< (B,past+T) 0: padding, which no query sees; null: no padding
  const int* first_key = nullptr;         ///< (B,T) first key that a query may see (document bounds), at most the
                                          ///< query's own; null: 0
  const int* pasts = nullptr;             ///< (B) keys before the query of each sequence, for forward passes with time
                                          ///< 1, without lse, key_mask and dropout; null: `past` for all
  Dropout dropout;                        ///< dropout of the probabilities, by sequence, head, query and key

  /// Number of keys of each sequence, including those of the KV cache; with `pasts`, of the longest.
  constexpr int keys() const { return past + time; }
  /// Keys of sequence b before its first query.
  constexpr int past_of(int b) const { return pasts ? pasts[b] : past; }
  /// Number of query heads that share a key/value head.
  constexpr int group() const { return n_head / n_kv_head; }
  /// First key that query t of sequence b may see by window and document bounds; the key mask is not applied.
  constexpr int begin(int b, int t) const { return begin(b, t, past); }
  /// begin() for a sequence with `before` keys before its first query.
  constexpr int begin(int b, int t, int before) const {
    const int by_window = window > 0 ? before + t + 1 - window : 0;
    const int by_document = first_key ? first_key[std::int64_t(b) * time + t] : 0;
    return std::clamp(std::max(by_window, by_document), 0, before + t);
  }
  /// Whether key `key` of sequence b is padding.
  constexpr bool masked(int b, int key) const { return key_mask && key_mask[std::int64_t(b) * keys() + key] == 0; }

  /// Whether all keys that query t of sequence b may see are padding. Such a query attends uniformly to the keys that
  /// exactly one of the two masks (causal, padding) hides: the padding before it and the tokens after it. The PyTorch
  /// reference does so too, since it adds a large negative number for each mask; the loss of the first token after left
  /// padding depends on it.
  constexpr bool sees_only_padding(int b, int t) const {
    if (!key_mask) return false;
    for (int key = begin(b, t); key <= past + t; ++key)
      if (!masked(b, key)) return false;
    return true;
  }
  /// Whether query t of sequence b attends to `key`, given that sees_only_padding(b, t).
  constexpr bool in_uniform_fallback(int b, int t, int key) const {
    const bool by_position = key >= begin(b, t) && key <= past + t;
    return by_position == masked(b, key);
  }
  /// Number of keys to which query t attends with equal probabilities, given that sees_only_padding(b, t).
  constexpr int uniform_fallback_keys(int b, int t) const {
    int n = 0;
    for (int key = 0; key < keys(); ++key) n += in_uniform_fallback(b, t, key);
    return n;
  }
};

/// Views of the rotary tables: cos and sin of position * inv_freq[i], (positions,D/2) each.
template <class R>
struct RotaryTable {
  const R* cosine = nullptr;
  const R* sine = nullptr;
  int half = 0;       ///< D/2
  int positions = 0;  ///< rows of the tables
};

/// Factor of gradients of norm `norm`, as in PyTorch's clip_grad_norm_; 1 for max_norm 0 (no clipping).
constexpr double clip_coefficient(double norm, double max_norm) {
  return max_norm > 0 ? std::min(1.0, max_norm / (norm + 1e-6)) : 1.0;
}

/// Rule that derives the update of a step from its loss and gradient norm, evaluated in double on host and device.
struct UpdateRule {
  double max_grad_norm = 0;  ///< 0: no clipping
  double loss_scale = 1;     ///< factor that the gradients contain; `norm` does not

  constexpr double gradient_scale(double norm) const { return clip_coefficient(norm, max_grad_norm) / loss_scale; }
  /// Whether the weights are updated: loss and norm are finite.
  static constexpr bool applies(double loss, double norm) { return is_finite(loss) && is_finite(norm); }

 private:
  static constexpr bool is_finite(double x) {
    return x >= std::numeric_limits<double>::lowest() && x <= std::numeric_limits<double>::max();
  }
};

/// Result of an UpdateRule, computed in device memory by a backend that runs ahead of the host.
struct UpdateDecision {
  float gradient_scale = 1;  ///< factor of all gradients (clipping, loss scale)
  std::int32_t applies = 0;  ///< 0: the step leaves weights and moments unchanged
};

/// Arguments of one AdamW step (Loshchilov & Hutter 2019). Decoupled decay multiplies weights by
/// 1 - learning_rate * weight_decay.
struct AdamWStep {
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0;
  double gradient_scale = 1;                 ///< factor of all gradients (clipping, loss scale)
  const UpdateDecision* decision = nullptr;  ///< in the backend's memory, replaces gradient_scale; null: none
  std::int64_t step = 1;                     ///< from 1 on, for the bias correction
};

}  // namespace moderngpt2
