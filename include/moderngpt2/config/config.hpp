#pragma once

#include <array>
#include <cmath>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "moderngpt2/config/activation.hpp"
#include "moderngpt2/config/field.hpp"
#include "moderngpt2/config/layer_config.hpp"
#include "moderngpt2/config/layer_types.hpp"
#include "moderngpt2/config/model_shape.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Kind of a sequence classifier's labels; `automatic` decides from the number of labels and their type.
enum class ProblemType : signed char { automatic, regression, single_label, multi_label };

/// Words of the values in config.json and on a command line; `automatic` has none.
constexpr auto words_of(ProblemType) {
  using Word = std::pair<std::string_view, ProblemType>;
  return std::array{Word("regression", ProblemType::regression),
                    Word("single_label_classification", ProblemType::single_label),
                    Word("multi_label_classification", ProblemType::multi_label)};
}

/// Hidden state of a choice that the multiple-choice head reads (GPT2DoubleHeadsModel's summary_type).
enum class SummaryType : signed char { cls_index, last, first, mean };

/// Words of the values in config.json.
constexpr auto words_of(SummaryType) {
  using Word = std::pair<std::string_view, SummaryType>;
  return std::array{Word("cls_index", SummaryType::cls_index), Word("last", SummaryType::last),
                    Word("first", SummaryType::first), Word("mean", SummaryType::mean)};
}

/// The fields of config.json under their Hugging Face names (shorter where ModelShape has a shorter one). A plain
/// value without strings, so that sizes computed from it are constant expressions. describe() below says what each
/// means; io/config_file.hpp reads and writes them.
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
  int sliding_window = 0;    ///< keys that a sliding layer sees, the query's own included; 0: no layer slides
  LayerTypes layer_types{};  ///< full or sliding attention

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

  BlocksConfig blocks{};  ///< layers of the user's own, with their fields

  /// Multiplier of the queries: head_dim^-0.5 unless query_pre_attn_scalar gives it directly.
  double query_scale() const { return query_pre_attn_scalar.value_or(1.0 / std::sqrt(double(head_dim))); }
  /// Channels of the queries, and of the keys or values.
  constexpr int query_width() const { return n_head * head_dim; }
  constexpr int kv_width() const { return n_kv_head * head_dim; }
  /// Windows of the layers; a window as wide as the context is none.
  constexpr LayerWindows windows() const {
    return {.width = sliding_window < n_positions ? sliding_window : 0, .n_layer = n_layer, .types = layer_types};
  }
  /// Keys that a query of a layer sees at most, its own included; 0: all earlier ones.
  constexpr int window(int layer) const { return windows()[layer]; }
};

/// Range of a number that validate() accepts. size: 1 to 2^27; probability: [0, 1); positive, not_negative: finite.
enum class Range : unsigned char { any, size, probability, positive, not_negative };

/// Facts about a field of the config beside those of Field.
struct InConfig {
  Range range = Range::any;
  bool null_is_default = false;  ///< null in config.json selects the default
  bool derived = false;          ///< the default is computed from other fields (io/config_file.hpp)
  bool own_format = false;       ///< io/config_file.hpp reads and writes it by hand
  bool zero_is_none = false;     ///< 0 on the command line is written as null
  bool same_model = true;        ///< changes weights or outputs, so that a checkpoint must have the same value
};

/// Names each field once, by its key in config.json and in the order of the file (see config/field.hpp). `aliases` are
/// alternative keys. The visitor is called with (member, const Field&, const InConfig&).
template <DescribedAs<Config> C, class Visitor>
constexpr void describe(C& c, Visitor&& visit) {
  constexpr const char* section = "Model fields (override config_file and model_size_name)";
  constexpr InConfig size{.range = Range::size};
  constexpr InConfig derived{.range = Range::size, .null_is_default = true, .derived = true};
  constexpr InConfig dropout{.range = Range::probability, .same_model = false};
  constexpr InConfig special{.own_format = true, .same_model = false};
  constexpr InConfig head{.same_model = false};
  visit(c.vocab_size, {.name = "vocab_size", .help = "Vocabulary size in tokens."}, size);
  visit(c.n_positions,
        {.name = "n_positions",
         .help = "Maximum sequence length in tokens.",
         .section = section,
         .at_least = 1,
         .aliases = {"max_position_embeddings"}},
        InConfig{.range = Range::size, .same_model = false});
  visit(c.n_embd,
        {.name = "n_embd",
         .help = "Width of the model (embedding and residual stream).",
         .section = section,
         .at_least = 1,
         .aliases = {"hidden_size"}},
        size);
  visit(c.n_layer,
        {.name = "n_layer",
         .help = "Number of transformer blocks.",
         .section = section,
         .at_least = 1,
         .aliases = {"num_hidden_layers"}},
        size);
  visit(c.n_head,
        {.name = "n_head",
         .help = "Number of query heads.",
         .section = section,
         .at_least = 1,
         .aliases = {"num_attention_heads"}},
        size);
  visit(c.n_kv_head,
        {.name = "num_key_value_heads",
         .help = "Number of key and value heads (grouped-query attention).",
         .section = section,
         .at_least = 1,
         .default_text = "n_head"},
        derived);
  visit(c.head_dim,
        {.name = "head_dim",
         .help = "Width of an attention head; must be even.",
         .section = section,
         .at_least = 2,
         .default_text = "n_embd / n_head"},
        derived);
  visit(c.n_inner,
        {.name = "intermediate_size",
         .help = "Inner width of the gated MLP.",
         .section = section,
         .at_least = 1,
         .default_text = "4 n_embd",
         .aliases = {"n_inner"}},
        derived);
  visit(c.activation,
        {.name = "activation_function",
         .help = "Activation of the gated MLP.",
         .section = section,
         .default_text = "gelu_pytorch_tanh",
         .aliases = {"hidden_act", "hidden_activation"}},
        InConfig{});
  visit(c.attention_bias,
        {.name = "attention_bias",
         .help = "Use biases in the q, k, v and o projections.",
         .section = section,
         .negatable = true},
        InConfig{});
  visit(c.tied_head,
        {.name = "tie_word_embeddings",
         .help = "Use the embedding matrix as output head.",
         .section = section,
         .negatable = true},
        InConfig{});
  visit(c.rms_norm_eps,
        {.name = "rms_norm_eps", .help = "Epsilon of RMSNorm, added to the mean square.", .section = section},
        InConfig{.range = Range::not_negative});
  visit(c.rope_theta, {.name = "rope_theta", .help = "Base of the rotary angles.", .section = section},
        InConfig{.range = Range::positive, .own_format = true});
  visit(
      c.rope_scaling_factor,
      {.name = "rope_scaling_factor", .help = "Linear RoPE scaling: positions are divided by it.", .section = section},
      InConfig{.own_format = true});
  visit(c.query_pre_attn_scalar,
        {.name = "query_pre_attn_scalar",
         .help = "Multiplier of the queries.",
         .section = section,
         .default_text = "head_dim^-0.5"},
        InConfig{.range = Range::positive});
  visit(c.attn_logit_softcapping,
        {.name = "attn_logit_softcapping",
         .help = "Soft cap of the attention scores; 0: none.",
         .section = section,
         .at_least = 0},
        InConfig{.range = Range::positive, .zero_is_none = true});
  visit(c.final_logit_softcapping,
        {.name = "final_logit_softcapping",
         .help = "Soft cap of the logits; 0: none.",
         .section = section,
         .at_least = 0},
        InConfig{.range = Range::positive, .zero_is_none = true});
  visit(c.sliding_window,
        {.name = "sliding_window",
         .help = "Tokens that a sliding layer attends to, including the query's own; 0: no layer slides.",
         .section = section,
         .at_least = 0},
        InConfig{.range = Range::not_negative, .own_format = true, .zero_is_none = true});
  visit(c.layer_types,
        {.name = "layer_types",
         .help = "Attention of the layers, repeated up to n_layer.",
         .section = section,
         .choices = layer_type_words,
         .default_text = "sliding_attention full_attention"},
        InConfig{.own_format = true});
  visit(c.initializer_range,
        {.name = "initializer_range", .help = "Standard deviation of new weights.", .section = section},
        InConfig{.range = Range::not_negative, .same_model = false});
  visit(c.resid_pdrop,
        {.name = "resid_pdrop", .help = "Dropout probability of the outputs of attention and MLP.", .section = section},
        dropout);
  visit(c.embd_pdrop, {.name = "embd_pdrop", .help = "Dropout probability of the embedding.", .section = section},
        dropout);
  visit(c.attn_pdrop,
        {.name = "attn_pdrop", .help = "Dropout probability of the attention weights.", .section = section}, dropout);
  visit(c.bos_token_id, {.name = "bos_token_id", .help = "Id of the token that begins a text."}, special);
  visit(c.eos_token_id, {.name = "eos_token_id", .help = "Id of the token that ends a text."}, special);
  visit(c.pad_token_id, {.name = "pad_token_id", .help = "Id of the token that pads a batch."}, special);
  visit(c.classifier_dropout, {.name = "classifier_dropout", .help = "Dropout probability of a classifier's input."},
        InConfig{.range = Range::probability, .null_is_default = true, .same_model = false});
  visit(c.summary_type, {.name = "summary_type", .help = "Position that the multiple-choice head reads."}, head);
  visit(c.summary_use_proj, {.name = "summary_use_proj", .help = "Project the summary of a choice."}, head);
  visit(c.summary_proj_to_labels,
        {.name = "summary_proj_to_labels", .help = "Project the summary to num_labels instead of n_embd."}, head);
  visit(c.summary_activation, {.name = "summary_activation", .help = "Activation of the summary; null: none."}, head);
  visit(c.summary_first_dropout,
        {.name = "summary_first_dropout", .help = "Dropout probability before the projection."}, dropout);
  visit(c.num_labels, {.name = "num_labels", .help = "Number of labels of a classifier."},
        InConfig{.range = Range::size, .own_format = true, .same_model = false});
  visit(c.problem_type, {.name = "problem_type", .help = "Kind of labels of a sequence classifier."}, special);
  visit(c.blocks, {.name = "blocks", .help = "Layers that are not the library's, with their fields."},
        InConfig{.own_format = true});
}

namespace detail {

template <class T>
void check_range(const char* field, Range range, T value) {
  const bool finite = std::isfinite(double(value));
  if (range == Range::probability && !(value >= 0 && value < 1))
    throw Error("config: {} is {}, it must be at least 0 and less than 1", field, value);
  if ((range == Range::positive || range == Range::size) && !(value > 0 && finite))
    throw Error("config: {} is {}, it must be positive", field, value);
  if (range == Range::not_negative && !(value >= 0 && finite))
    throw Error("config: {} is {}, it must not be negative", field, value);
  if (range == Range::size && value > T(1 << 27))
    throw Error("config: {} is {}, beyond any model (maximum 2^27)", field, value);
}

}  // namespace detail

/// Throws an Error that names the first field out of range. Called before anything is allocated.
inline void validate(const Config& c) {
  describe(c, []<class T>(const T& member, const Field& field, const InConfig& rules) {
    if constexpr (std::is_same_v<T, int> || std::is_same_v<T, double>)
      detail::check_range(field.name, rules.range, member);
    else if constexpr (std::is_same_v<T, std::optional<double>>)
      if (member) detail::check_range(field.name, rules.range, *member);
  });
  detail::check_range("rope_scaling factor", Range::positive, c.rope_scaling_factor);
  if (c.sliding_window > 1 << 27)
    throw Error("config: sliding_window is {}, beyond any model (maximum 2^27)", c.sliding_window);
  if (c.n_layer > max_layers)
    throw Error("config: n_layer is {}, beyond any model (maximum {})", c.n_layer, max_layers);
  if (c.n_head % c.n_kv_head != 0)
    throw Error("config: n_head {} is not a multiple of num_key_value_heads {}", c.n_head, c.n_kv_head);
  if (c.head_dim % 2 != 0)
    throw Error("config: head_dim {} is odd, rotary positions need pairs of channels", c.head_dim);
  if (double(c.n_head) * c.head_dim > (1 << 27))
    throw Error("config: n_head {} x head_dim {} is beyond any model (maximum 2^27)", c.n_head, c.head_dim);
  const double layer =
      double(c.n_embd) * (2.0 * c.n_head * c.head_dim + 2.0 * c.n_kv_head * c.head_dim + 3.0 * c.n_inner);
  if (const double n = 2.0 * c.vocab_size * c.n_embd + c.n_layer * layer; n > 1e15)  // far from overflowing 64 bits
    throw Error("config: n_layer, n_embd and intermediate_size make {:.1e} parameters, which is beyond any model", n);
  if (c.activation == Activation::dynamic) throw Error("config: activation_function is missing");
  if (activation_name(c.activation) == "dynamic")
    throw Error("config: activation_function is {}, which is not the value of an activation", int(c.activation));
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

/// Throws an Error if a config differs from a compile-time constant of a model's shape. Names the field and both
/// values.
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
