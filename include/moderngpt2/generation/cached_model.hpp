#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "moderngpt2/backend/classifier_rows.hpp"
#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/backend/token_choice.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/generation/kv_cache.hpp"
#include "moderngpt2/model/model.hpp"

namespace moderngpt2 {

/// Model with a KV cache for several sequences. Each sequence is a row of the cache, tokens are columns. All rows end
/// at the same column, so that one pass computes the next token of each; a shorter text begins at a later column (left
/// padding), before which queries see no keys. Rotary attention depends only on differences of positions, so a shifted
/// text has the same logits up to rounding.
template <class M>
class CachedModel {
 public:
  using T = typename M::T;
  using Score = typename M::Score;

  /// `max_tokens`: columns, clamped to 1..n_positions. `chunk`: maximum number of tokens in one prefill pass, which
  /// bounds the memory of activations. The model must outlive this object.
  CachedModel(M& model, int rows, std::int64_t max_tokens, int chunk)
      : model_(&model),
        cache_(model.config().n_layer, rows, int(std::clamp<std::int64_t>(max_tokens, 1, model.config().n_positions)),
               model.layers().cache_width()),
        chunk_(std::clamp(chunk, 1, cache_.capacity())),
        work_(model.workspace(1, std::max(chunk_, rows), Mode::infer)),
        logits_(std::int64_t(rows) * model.config().vocab_size),
        is_downloaded_(std::size_t(rows), false),
        first_column_(std::size_t(rows)),
        first_keys_(std::size_t(std::max(chunk_, rows))) {}

  const KvCache<T, typename M::Memory>& cache() const { return cache_; }
  int rows() const { return cache_.batch(); }
  int capacity() const { return cache_.capacity(); }

  /// Runs passes over tokens of one row, at columns from `past` on of a text that begins at `first_column`, and
  /// computes the logits of the last token.
  void prefill(int row, std::span<const int> tokens, int past, int first_column = 0) {
    first_column_[std::size_t(row)] = first_column;
    Rows<T> hidden;
    while (!tokens.empty()) {
      const auto part = tokens.first(std::min(tokens.size(), std::size_t(chunk_)));
      Pass<typename M::R> pass{.batch = 1, .time = int(part.size()), .past = past};
      if (first_column > 0) {
        std::fill_n(first_keys_.begin(), part.size(), first_column);
        pass.first_key = first_keys_.data();
      }
      hidden = model_->forward(work_, part.data(), pass, cache_.sequence(row));
      past += int(part.size());
      tokens = tokens.subspan(part.size());
    }
    compute_logits(row, hidden.slice(hidden.count - 1, 1));
  }

  /// Runs one pass over one token for each of the first tokens.size() rows, at column `past`, and computes their
  /// logits.
  void step(std::span<const int> tokens, int past) {
    Pass<typename M::R> pass{.batch = int(tokens.size()), .time = 1, .past = past};
    if (std::any_of(first_column_.begin(), first_column_.begin() + pass.batch, [](int c) { return c > 0; }))
      pass.first_key = first_column_.data();
    compute_logits(0, model_->forward(work_, tokens.data(), pass, cache_.views()));
  }

  /// Logits (V) of the last token of a row, in host memory. The caller may overwrite them.
  std::span<Score> logits(int row) {
    const std::size_t width = std::size_t(model_->config().vocab_size);
    const std::span<Score> row_logits(logits_.data() + std::size_t(row) * width, width);
    if constexpr (!OnHost<typename M::Backend>) {
      if (!std::exchange(is_downloaded_[std::size_t(row)], char(1)))
        download(model_->backend(), row_logits.data(), static_cast<const Score*>(device_logits().row(row)),
                 std::int64_t(width));
    }
    return row_logits;
  }

  /// Sets tokens[i] to the next token of row rows[i], chosen by choices[i] in device memory. Overwrites the logits.
  void choose(std::span<int> tokens, std::span<const int> rows,
              std::span<const TokenChoice> choices) requires(!OnHost<typename M::Backend>) {
    choose_tokens(model_->backend(), tokens, device_logits(), rows, choices);
  }

  /// Copies a row: columns [begin, end) of keys and values, the first column and, if `with_logits`, the logits. Other
  /// columns must be equal already, or lie before the text.
  void copy(int from, int to, int begin, int end, bool with_logits) {
    if (from == to) return;
    cache_.copy(model_->backend(), from, to, begin, end);
    first_column_[std::size_t(to)] = first_column_[std::size_t(from)];
    if (!with_logits) return;
    if constexpr (OnHost<typename M::Backend>) {
      std::ranges::copy(logits(from), logits(to).begin());
    } else {
      copy_rows(model_->backend(), device_logits().slice(to, 1), device_logits().slice(from, 1));
      is_downloaded_[std::size_t(to)] = false;
    }
  }

 private:
  /// Computes logits of the rows from `first` on, from their hidden states.
  void compute_logits(int first, Rows<T> hidden) {
    if constexpr (OnHost<typename M::Backend>) {
      model_->logits(Rows<Score>(logits(first).data(), hidden.count, model_->config().vocab_size), hidden);
    } else {
      if (device_logits_.size() == 0)
        device_logits_ = decltype(device_logits_)(std::int64_t(rows()) * logits_stride(model_->config().vocab_size));
      model_->logits(device_logits().slice(first, hidden.count), hidden);
      std::fill_n(is_downloaded_.begin() + first, hidden.count, false);
    }
  }
  /// Logits (rows,V) in the backend's memory.
  Rows<Score> device_logits() const {
    const int width = model_->config().vocab_size;
    return {device_logits_.data(), rows(), width, logits_stride(width)};
  }

  M* model_;
  KvCache<T, typename M::Memory> cache_;
  int chunk_;
  typename M::Work work_;
  FlatBuffer<Score> logits_;                             // (rows,V)
  FlatBuffer<Score, typename M::Memory> device_logits_;  // logits in device memory, unless that is host memory
  std::vector<char> is_downloaded_;                      // by row: whether logits_ is a copy of device_logits_
  std::vector<int> first_column_;                        // by row
  std::vector<int> first_keys_;                          // first column, repeated for each token of a prefill pass
};

}  // namespace moderngpt2
