#pragma once

#include <array>
#include <cmath>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include "moderngpt2/config/model_shape.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// What a sequence classifier's labels mean; `automatic` decides from the number of labels and their type.
enum class ProblemType : signed char { automatic, regression, single_label, multi_label };

/// Which position of a choice the multiple-choice head reads.
enum class SummaryType : signed char { cls_index, last, first, mean };

/// The fields of config.json under their Hugging Face names (shorter where ModelShape has a shorter one). A plain
/// value without strings, so that sizes computed from it are constant expressions. Reading and writing:
/// io/config_file.hpp.
struct Config {
  int vocab_size = 50257;
  int n_positions = 1024;
  int n_embd = 768;
  int n_layer = 12;
  int n_head = 12;
  int n_kv_head = 12;  ///< num_key_value_heads
  int head_dim = 64;   ///< n_embd / n_head unless given
  int n_inner = 3072;  ///< intermediate_size, 4 n_embd unless given
  Activation activation = Activation::gelu_tanh;
  bool attention_bias = false;
  bool tied_head = true;  ///< tie_word_embeddings

  double rms_norm_eps = 1e-6;
  double rope_theta = 10000.0;
  double rope_scaling_factor = 1.0;  ///< linear scaling: positions are divided by it
  std::optional<double> query_pre_attn_scalar;
  std::optional<double> attn_logit_softcapping;
  std::optional<double> final_logit_softcapping;

  double initializer_range = 0.02;
  double resid_pdrop = 0.1;
  double embd_pdrop = 0.1;
  double attn_pdrop = 0.1;

  std::optional<int> bos_token_id;
  std::optional<int> eos_token_id;
  std::optional<int> pad_token_id;

  int num_labels = 2;
  ProblemType problem_type = ProblemType::automatic;
  double classifier_dropout = 0.1;
  SummaryType summary_type = SummaryType::cls_index;
  bool summary_use_proj = true;
  bool summary_proj_to_labels = true;
  std::optional<Activation> summary_activation;  ///< applied to the summary; none when null
  double summary_first_dropout = 0.1;

  /// Multiplier of the queries: head_dim^-0.5 unless query_pre_attn_scalar gives it directly.
  double query_scale() const { return query_pre_attn_scalar.value_or(1.0 / std::sqrt(double(head_dim))); }
  /// Channels of the queries, and of the keys or values.
  constexpr int query_width() const { return n_head * head_dim; }
  constexpr int kv_width() const { return n_kv_head * head_dim; }
};

/// Throws an Error that names the first field out of range. Called before anything is allocated.
inline void validate(const Config& c) {
  auto positive = [](std::string_view field, int value) {
    if (value <= 0) throw Error("config: {} is {}, it must be positive", field, value);
    if (value > (1 << 27)) throw Error("config: {} is {}, which is beyond any model", field, value);
  };
  positive("vocab_size", c.vocab_size);
  positive("n_positions", c.n_positions);
  positive("n_embd", c.n_embd);
  positive("n_layer", c.n_layer);
  positive("n_head", c.n_head);
  positive("num_key_value_heads", c.n_kv_head);
  positive("head_dim", c.head_dim);
  positive("intermediate_size", c.n_inner);
  positive("num_labels", c.num_labels);
  if (c.n_layer > 100'000) throw Error("config: n_layer is {}, which is beyond any model", c.n_layer);
  if (c.n_head % c.n_kv_head != 0)
    throw Error("config: n_head {} is not a multiple of num_key_value_heads {}", c.n_head, c.n_kv_head);
  if (c.head_dim % 2 != 0)
    throw Error("config: head_dim {} is odd, rotary positions need pairs of channels", c.head_dim);
  if (double(c.n_head) * c.head_dim > (1 << 27))
    throw Error("config: n_head {} x head_dim {} is beyond any model", c.n_head, c.head_dim);
  const double layer =
      double(c.n_embd) * (2.0 * c.n_head * c.head_dim + 2.0 * c.n_kv_head * c.head_dim + 3.0 * c.n_inner);
  if (const double n = 2.0 * c.vocab_size * c.n_embd + c.n_layer * layer; n > 1e15)  // far from overflowing 64 bits
    throw Error("config: n_layer, n_embd and intermediate_size make {:.1e} parameters, which is beyond any model", n);
  if (c.activation == Activation::dynamic) throw Error("config: activation_function is not given");
  auto probability = [](std::string_view field, double p) {
    if (!(p >= 0 && p < 1)) throw Error("config: {} is {}, it must be at least 0 and less than 1", field, p);
  };
  probability("resid_pdrop", c.resid_pdrop);
  probability("embd_pdrop", c.embd_pdrop);
  probability("attn_pdrop", c.attn_pdrop);
  probability("classifier_dropout", c.classifier_dropout);
  probability("summary_first_dropout", c.summary_first_dropout);
  auto above_zero = [](std::string_view field, double value) {
    if (!(value > 0 && std::isfinite(value))) throw Error("config: {} is {}, it must be positive", field, value);
  };
  if (!(c.rms_norm_eps >= 0 && std::isfinite(c.rms_norm_eps)))
    throw Error("config: rms_norm_eps is {}, it must not be negative", c.rms_norm_eps);
  above_zero("rope_theta", c.rope_theta);
  above_zero("rope_scaling factor", c.rope_scaling_factor);
  if (!(c.initializer_range >= 0 && std::isfinite(c.initializer_range)))
    throw Error("config: initializer_range is {}, it must not be negative", c.initializer_range);
  if (c.query_pre_attn_scalar) above_zero("query_pre_attn_scalar", *c.query_pre_attn_scalar);
  if (c.attn_logit_softcapping) above_zero("attn_logit_softcapping", *c.attn_logit_softcapping);
  if (c.final_logit_softcapping) above_zero("final_logit_softcapping", *c.final_logit_softcapping);
}

namespace detail {

constexpr void match_extent(std::string_view field, int built, int given) {
  if (built != dynamic && built != given)
    throw Error("this model is built for {} {}, the config says {}", field, built, given);
}

constexpr void match_toggle(std::string_view field, Toggle built, bool given) {
  if (built != Toggle::dynamic && (built == Toggle::on) != given)
    throw Error("this model is built for {} {}, the config says {}", field, built == Toggle::on, given);
}

}  // namespace detail

/// Hugging Face's name of each activation, as written to config.json.
constexpr auto words_of(Activation) {
  using Word = std::pair<std::string_view, Activation>;
  return std::to_array<Word>({
#define MODERNGPT2_ACTIVATION(value, ...) {*std::begin({__VA_ARGS__}), Activation::value},
#include "moderngpt2/config/activations.def"
  });
}

/// Hugging Face's name of an activation; "dynamic" for one that is not given.
constexpr std::string_view activation_name(Activation a) {
  for (const auto& [name, value] : words_of(a))
    if (value == a) return name;
  return "dynamic";
}

/// The activation of a Hugging Face name, aliases included; nothing for an unknown name.
constexpr std::optional<Activation> activation_from_name(std::string_view name) {
#define MODERNGPT2_ACTIVATION(value, ...)            \
  for (const std::string_view known : {__VA_ARGS__}) \
    if (name == known) return Activation::value;
#include "moderngpt2/config/activations.def"
  return std::nullopt;
}

/// Refuses a config that contradicts what a model was built for, by field and both values.
template <ModelShape S>
constexpr void require_match(const Config& c) {
  detail::match_extent("n_layer", S.n_layer, c.n_layer);
  detail::match_extent("n_embd", S.n_embd, c.n_embd);
  detail::match_extent("n_head", S.n_head, c.n_head);
  detail::match_extent("num_key_value_heads", S.n_kv_head, c.n_kv_head);
  detail::match_extent("head_dim", S.head_dim, c.head_dim);
  detail::match_extent("intermediate_size", S.n_inner, c.n_inner);
  if (S.activation != Activation::dynamic && S.activation != c.activation)
    throw Error("this model is built for activation_function {}, the config says {}", activation_name(S.activation),
                activation_name(c.activation));
  detail::match_toggle("attention_bias", S.attention_bias, c.attention_bias);
  detail::match_toggle("tie_word_embeddings", S.tied_head, c.tied_head);
}

}  // namespace moderngpt2
