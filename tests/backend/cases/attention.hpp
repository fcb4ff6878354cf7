#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "backend/cases.hpp"

namespace moderngpt2::cases {

/// Options of an attention case.
struct AttentionOptions {
  int batch = 1, time = 1, past = 0, extra_key_rows = 0, n_head = 1, n_kv_head = 1, head_dim = 2;
  double softcap = 0;
  int window = 0;
  bool key_mask = false;   ///< sequence 0: right padding; 1: left padding; 2: no key at all
  bool documents = false;  ///< document bounds at thirds
  bool unequal = false;    ///< the last sequence has `past` keys in the cache, the others from 0 to `past`
  double dropout = 0;
  bool saves = true;      ///< stores the log-sum-exp for the backward pass
  int extra_columns = 3;  ///< after each row of q in the forward pass: with 3, rows of 16 bits are not aligned

  std::string text() const {
    return fmt::format("B{} T{} past {}+{} H{}/{} D{} cap {} window {}{}{}{}{} dropout {}", batch, time, past,
                       extra_key_rows, n_head, n_kv_head, head_dim, softcap, window, key_mask ? " mask" : "",
                       documents ? " documents" : "", unequal ? " unequal" : "", saves ? "" : " forward only", dropout);
  }
};

struct AttentionData {
  AttentionCall call;
  std::vector<std::int8_t> mask;
  std::vector<int> first_key, pasts;

  explicit AttentionData(const AttentionOptions& o) {
    call = {.batch = o.batch,
            .time = o.time,
            .past = o.past,
            .key_rows = o.past + o.time + o.extra_key_rows,
            .n_head = o.n_head,
            .n_kv_head = o.n_kv_head,
            .head_dim = o.head_dim,
            .softcap = o.softcap,
            .window = o.window,
            .dropout = {o.dropout, 321, 2}};
    const int keys = o.past + o.time;
    if (o.key_mask) {
      for (int b = 0; b < o.batch; ++b)
        for (int u = 0; u < keys; ++u)
          mask.push_back(std::int8_t(b % 3 == 0 ? u < keys - keys / 3 : b % 3 == 1 ? u >= keys / 3 : 0));
      call.key_mask = mask.data();
    }
    if (o.documents) {
      const int length = (keys + 2) / 3;
      for (int b = 0; b < o.batch; ++b)
        for (int t = 0; t < o.time; ++t) first_key.push_back((o.past + t) / length * length);
      call.first_key = first_key.data();
    }
    if (o.unequal) {
      for (int b = 0; b < o.batch; ++b)
        pasts.push_back(b + 1 < o.batch ? (b * 5 + 3) * o.past / 8 % (o.past + 1) : o.past);
      call.pasts = pasts.data();
    }
  }
  AttentionData(const AttentionData&) = delete;

  /// The call with its arrays in the memory of the backend of `tensors`.
  AttentionCall on_device(const auto& tensors) const {
    AttentionCall there = call;
    there.key_mask = tensors.on_device(mask.data(), mask.size());
    there.first_key = tensors.on_device(first_key.data(), first_key.size());
    there.pasts = tensors.on_device(pasts.data(), pasts.size());
    if (mask.empty()) there.key_mask = nullptr;
    if (first_key.empty()) there.first_key = nullptr;
    if (pasts.empty()) there.pasts = nullptr;
    return there;
  }

  /// Writes 0 over the marks that a backend leaves in lse (B,H,T) for queries that see only padding, or everywhere.
  template <class R>
  void clear_marks(auto& b, R* lse, bool everywhere) const {
    const int rows = call.batch * call.n_head * call.time;
    const auto marked = [&](int i) {
      return everywhere || call.sees_only_padding(i / call.time / call.n_head, i % call.time);
    };
    for (int i = 0, n = 1; i < rows; i += n) {
      for (n = 1; i + n < rows && marked(i) == marked(i + n);) ++n;
      if (marked(i)) fill(b, lse + i, n, R(0));
    }
  }
};

/// Forward: q and o are parts of wider rows, k and v share one buffer, as in a model.
inline Case attention_case(const AttentionOptions& o) {
  const auto data = std::make_shared<const AttentionData>(o);
  const AttentionCall& call = data->call;
  const int rows = o.batch * o.time, key_rows = o.batch * call.key_rows, q = o.n_head * o.head_dim,
            kv = o.n_kv_head * o.head_dim, stride = q + o.extra_columns;
  Case c = make_case("attention " + o.text(),
                     {{Role::output, std::int64_t(rows) * q},
                      {Role::output, std::int64_t(o.batch) * o.n_head * o.time, 1, true},
                      {Role::input, std::int64_t(rows) * stride, 1 / std::sqrt(std::sqrt(double(o.head_dim)))},
                      {Role::input, std::int64_t(key_rows) * 2 * kv}},
                     [=](auto& b, const auto& t) {
                       using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                       const Rows<T> pair(t[3], key_rows, 2 * kv);
                       auto* const lse = t.full(1);
                       attention(b, Rows<T>(t[0], rows, q), o.saves ? lse : nullptr, Rows<T>(t[2], rows, q, stride),
                                 pair.columns(0, kv), pair.columns(kv, kv), data->on_device(t));
                       data->clear_marks(b, lse, !o.saves);
                     });
  c.flops = 2.0 * rows * q * (call.past + call.time);
  c.tolerance = 5e-6;
  return c;
}

/// Forward, then backward over its output and lse.
inline Case attention_backward_case(const AttentionOptions& o) {
  const auto data = std::make_shared<const AttentionData>(o);
  const int rows = o.batch * o.time, q = o.n_head * o.head_dim, kv = o.n_kv_head * o.head_dim, all = q + 2 * kv;
  Case c = make_case("attention_backward " + o.text(),
                     {{Role::output, std::int64_t(rows) * all},
                      {Role::input, std::int64_t(rows) * all, 1 / std::sqrt(std::sqrt(double(o.head_dim)))},
                      {Role::input, std::int64_t(rows) * q},
                      {Role::output, std::int64_t(rows) * q},
                      {Role::output, std::int64_t(rows) * o.n_head, 1, true}},
                     [=](auto& b, const auto& t) {
                       using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                       const Rows<T> qkv(t[1], rows, all), d(t[0], rows, all), out(t[3], rows, q);
                       auto* const lse = t.full(4);
                       const AttentionCall call = data->on_device(t);
                       const auto query = qkv.columns(0, q), key = qkv.columns(q, kv), value = qkv.columns(q + kv, kv);
                       attention(b, out, lse, query, key, value, call);
                       attention_backward(b, d.columns(0, q), d.columns(q, kv), d.columns(q + kv, kv),
                                          Rows<T>(t[2], rows, q), out, lse, query, key, value, call);
                       data->clear_marks(b, lse, false);
                     });
  c.flops = 7.0 * rows * q * o.time;
  c.tolerance = 1e-5;
  return c;
}

/// Shapes around the borders of tiles (64 queries, 256 keys), and all masks.
inline std::vector<AttentionOptions> attention_options() {
  std::vector<AttentionOptions> table;
  for (int time : {1, 2, 63, 64, 65, 128, 193, 255, 256, 257, 340})
    table.push_back({.batch = 2, .time = time, .n_head = 4, .n_kv_head = 2, .head_dim = 8});
  for (int head_dim : {2, 6, 10, 18, 34, 64, 66, 96, 128})
    table.push_back({.time = 70, .n_head = 2, .n_kv_head = 1, .head_dim = head_dim});
  table.push_back({.batch = 2, .time = 40, .n_head = 3, .n_kv_head = 3, .head_dim = 16});
  table.push_back({.batch = 2, .time = 40, .n_head = 5, .n_kv_head = 1, .head_dim = 16});
  table.push_back({.batch = 1, .time = 140, .n_head = 6, .n_kv_head = 2, .head_dim = 16, .softcap = 1.5});
  for (int window : {1, 5, 64, 130})
    table.push_back({.time = 200, .n_head = 2, .n_kv_head = 1, .head_dim = 8, .window = window});
  for (int time : {6, 150, 290}) {
    table.push_back({.batch = 3, .time = time, .n_head = 2, .n_kv_head = 1, .head_dim = 8, .key_mask = true});
    table.push_back({.batch = 2, .time = time, .n_head = 2, .n_kv_head = 1, .head_dim = 8, .documents = true});
    table.push_back({.batch = 3,
                     .time = time,
                     .n_head = 4,
                     .n_kv_head = 2,
                     .head_dim = 8,
                     .softcap = 3,
                     .window = 50,
                     .key_mask = true,
                     .documents = true,
                     .dropout = 0.5});
  }
  table.push_back({.batch = 2, .time = 130, .n_head = 2, .n_kv_head = 1, .head_dim = 16, .dropout = 0.5});
  return table;
}

/// Forward passes, also with a cache.
inline std::vector<Case> attention_cases() {
  std::vector<Case> table;
  for (const AttentionOptions& o : attention_options()) table.push_back(attention_case(o));
  for (int past : {1, 63, 200, 256})
    for (int time : {1, 5, 70}) {
      AttentionOptions o{
          .batch = 2, .time = time, .past = past, .extra_key_rows = 7, .n_head = 4, .n_kv_head = 2, .head_dim = 16};
      table.push_back(attention_case(o));
      o.softcap = 2, o.window = 80, o.key_mask = o.documents = true;
      table.push_back(attention_case(o));
    }
  for (int past : {1, 127, 128, 300})  // decoding
    for (int head_dim : {8, 34}) {
      AttentionOptions o{
          .batch = 3, .past = past, .extra_key_rows = 7, .n_head = 6, .n_kv_head = 2, .head_dim = head_dim};
      o.saves = false;
      table.push_back(attention_case(o));
      o.unequal = true, o.batch = 5;
      table.push_back(attention_case(o));
      o.softcap = 2, o.window = 80, o.documents = true;
      table.push_back(attention_case(o));
      o.unequal = false, o.batch = 3;
      table.push_back(attention_case(o));
    }
  table.push_back(attention_case(
      {.batch = 1, .time = 20, .past = 120, .n_head = 2, .n_kv_head = 1, .head_dim = 16, .dropout = 0.5}));
  return table;
}

inline std::vector<Case> attention_backward_cases() {
  std::vector<Case> table;
  for (const AttentionOptions& o : attention_options()) table.push_back(attention_backward_case(o));
  return table;
}

}  // namespace moderngpt2::cases
