#pragma once

#include <type_traits>

#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/model/heads.hpp"

namespace moderngpt2 {

/// Whether a config has the dimensions that shape S fixes at compile time.
template <ModelShape S>
constexpr bool matches(const Config& c) {
  return (S.n_layer == dynamic || S.n_layer == c.n_layer) && (S.n_embd == dynamic || S.n_embd == c.n_embd) &&
         (S.n_head == dynamic || S.n_head == c.n_head) && (S.n_kv_head == dynamic || S.n_kv_head == c.n_kv_head) &&
         (S.head_dim == dynamic || S.head_dim == c.head_dim) && (S.n_inner == dynamic || S.n_inner == c.n_inner) &&
         (S.activation == Activation::dynamic || S.activation == c.activation) &&
         (S.attention_bias == Toggle::dynamic || (S.attention_bias == Toggle::on) == c.attention_bias) &&
         (S.tied_head == Toggle::dynamic || (S.tied_head == Toggle::on) == c.tied_head);
}

/// Error for a precision that the CPU backend does not support. Names the nearest supported one.
inline UsageError unsupported_precision(PrecisionName name) {
  const Setting precision{"precision"}, device{"device"};
  return UsageError("{} {} needs {} cuda: on the CPU use {} {}", precision, precision_name(name), device, precision,
                    precision_name(cpu_precision(name)));
}

/// Language model in bf16 on the CPU, for any config.
using CausalLMInBf16 = CausalLM<any_shape, cpu::Backend, Bf16>;

/// Calls f(std::type_identity<M>{}) with the fp32 language-model type for a config: CausalLM<small_shape> if the config
/// matches that shape (with MODERNGPT2_PRESETS also medium, large and xl), otherwise CausalLM<any_shape>.
template <class F>
decltype(auto) with_causal_lm(const Config& c, F&& f) {
  if (matches<small_shape>(c)) return f(std::type_identity<CausalLM<small_shape>>{});
#ifdef MODERNGPT2_PRESETS
  if (matches<medium_shape>(c)) return f(std::type_identity<CausalLM<medium_shape>>{});
  if (matches<large_shape>(c)) return f(std::type_identity<CausalLM<large_shape>>{});
  if (matches<xl_shape>(c)) return f(std::type_identity<CausalLM<xl_shape>>{});
#endif
  return f(std::type_identity<CausalLM<any_shape>>{});
}

}  // namespace moderngpt2
