#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "moderngpt2/backend/classifier_rows.hpp"
#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/backend/token_choice.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/generation/kv_cache.hpp"
#include "moderngpt2/model/session.hpp"

namespace moderngpt2 {

/// Model with a KV cache for several sequences. Each sequence is a row of the cache, tokens are columns. One pass
/// computes the next token of each row, at a column of its own or at the same column for all. In the latter case a
/// shorter text begins at a later column (left padding), before which queries see no keys. Rotary attention depends
/// only on differences of positions, so a shifted text has the same logits up to rounding.
///
/// Threads: for one thread at a time. Several may use one model at once, with a CachedModel each.
template <class M>
class CachedModel {
 public:
  using T = typename M::T;
  using Score = typename M::Score;

  /// `max_tokens`: columns, clamped to 1..n_positions. `chunk`: maximum number of tokens in one prefill pass, which
  /// bounds the memory of activations. `context`: as for Session. The model must outlive this object.
  CachedModel(const M& model, int rows, std::int64_t max_tokens, int chunk,
              std::optional<typename M::Backend>&& context = {})
      : capacity_(int(std::clamp<std::int64_t>(max_tokens, 1, model.config().n_positions))),
        chunk_(std::clamp(chunk, 1, capacity_)),
        session_(model, 1, std::max(chunk_, rows), std::move(context)),
        cache_(model.layers().n_layer, rows, capacity_, model.layers().cache_width()),
        logits_(std::int64_t(rows) * model.config().vocab_size),
        is_downloaded_(std::size_t(rows), false),
        first_column_(std::size_t(rows)),
        first_keys_(std::size_t(std::max(chunk_, rows))) {}

  const M& model() const { return session_.model(); }
  const KvCache<T, typename M::Memory>& cache() const { return cache_; }
  int rows() const { return cache_.batch(); }
  int capacity() const { return capacity_; }

  /// Runs passes over tokens of one row, at columns from `past` on of a text that begins at `first_column`, and
  /// computes the logits of the last token unless `with_logits` is false.
  void prefill(int row, std::span<const int> tokens, int past, int first_column = 0, bool with_logits = true) {
    first_column_[std::size_t(row)] = first_column;
    Rows<T> hidden;
    while (!tokens.empty()) {
      const auto part = tokens.first(std::min(tokens.size(), std::size_t(chunk_)));
      Pass<typename M::R> pass{.batch = 1, .time = int(part.size()), .past = past};
      if (first_column > 0) {
        std::fill_n(first_keys_.begin(), part.size(), first_column);
        pass.first_key = first_keys_.data();
      }
      hidden = session_.forward(part.data(), pass, cache_.sequence(row));
      past += int(part.size());
      tokens = tokens.subspan(part.size());
    }
    if (with_logits) compute_logits(row, hidden.slice(hidden.count - 1, 1));
  }

  /// Runs one pass over one token for each of the first tokens.size() rows, at column `past`, and computes their
  /// logits.
  void step(std::span<const int> tokens, int past) { run_step(tokens, {.past = past}); }
  /// Like step() with one column for all rows, but for row i at column pasts[i].
  void step(std::span<const int> tokens, std::span<const int> pasts) {
    static_assert(
        requires { requires M::Layers::Attention::reads_pasts; },
        "sequences of unequal lengths need an attention layer that reads Pass::pasts, where they are given, "
        "in place of Pass::past, and says so: static constexpr bool reads_pasts = true");
    run_step(tokens, {.past = std::ranges::max(pasts), .pasts = pasts.data()});
  }

  /// Logits (V) of the last token of a row, in host memory. The caller may overwrite them.
  std::span<Score> logits(int row) {
    const std::size_t width = std::size_t(vocab_size());
    const std::span<Score> row_logits(logits_.data() + std::size_t(row) * width, width);
    if constexpr (!OnHost<typename M::Backend>) {
      if (!std::exchange(is_downloaded_[std::size_t(row)], char(1)))
        download(session_.backend(), row_logits.data(), static_cast<const Score*>(device_logits().row(row)),
                 std::int64_t(width));
    }
    return row_logits;
  }

  /// Sets tokens[i] to the next token of row rows[i], chosen by choices[i] in device memory. Overwrites the logits.
  void choose(std::span<int> tokens, std::span<const int> rows,
              std::span<const TokenChoice> choices) requires(!OnHost<typename M::Backend>) {
    choose_tokens(session_.backend(), tokens, device_logits(), rows, choices);
  }

  /// Copies a row: columns [begin, end) of keys and values, the first column and, if `with_logits`, the logits. Other
  /// columns must be equal already, or lie before the text.
  void copy(int from, int to, int begin, int end, bool with_logits) {
    if (from == to) return;
    cache_.copy(session_.backend(), from, to, begin, end);
    first_column_[std::size_t(to)] = first_column_[std::size_t(from)];
    if (!with_logits) return;
    if constexpr (OnHost<typename M::Backend>) {
      std::ranges::copy(logits(from), logits(to).begin());
    } else {
      copy_rows(session_.backend(), device_logits().slice(to, 1), device_logits().slice(from, 1));
      is_downloaded_[std::size_t(to)] = false;
    }
  }

 private:
  /// Runs a decoding pass, with the pass's columns.
  void run_step(std::span<const int> tokens, Pass<typename M::R> pass) {
    pass.batch = int(tokens.size());
    if (std::any_of(first_column_.begin(), first_column_.begin() + pass.batch, [](int c) { return c > 0; }))
      pass.first_key = first_column_.data();
    compute_logits(0, session_.forward(tokens.data(), pass, cache_.views()));
  }
  /// Computes logits of the rows from `first` on, from their hidden states.
  void compute_logits(int first, Rows<T> hidden) {
    if constexpr (OnHost<typename M::Backend>) {
      session_.logits(Rows<Score>(logits(first).data(), hidden.count, vocab_size()), hidden);
    } else {
      if (device_logits_.size() == 0)
        device_logits_ = decltype(device_logits_)(std::int64_t(rows()) * logits_stride(vocab_size()));
      session_.logits(device_logits().slice(first, hidden.count), hidden);
      std::fill_n(is_downloaded_.begin() + first, hidden.count, false);
    }
  }
  /// Logits (rows,V) in the backend's memory.
  Rows<Score> device_logits() const {
    return {device_logits_.data(), rows(), vocab_size(), logits_stride(vocab_size())};
  }
  int vocab_size() const { return model().config().vocab_size; }

  int capacity_, chunk_;
  Session<M> session_;
  KvCache<T, typename M::Memory> cache_;
  FlatBuffer<Score> logits_;                             // (rows,V)
  FlatBuffer<Score, typename M::Memory> device_logits_;  // logits in device memory, unless that is host memory
  std::vector<char> is_downloaded_;                      // by row: whether logits_ is a copy of device_logits_
  std::vector<int> first_column_;                        // by row
  std::vector<int> first_keys_;                          // first column, repeated for each token of a prefill pass
};

}  // namespace moderngpt2
