#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/config/field.hpp"
#include "moderngpt2/config/field_text.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Rule that ends a beam search once num_beams texts are finished: Hugging Face's early_stopping false, true, "never".
enum class EarlyStopping : unsigned char {
  heuristic,  ///< stop if the best running beam, scored at its current length, is no better than the worst kept text
  at_once,    ///< stop immediately
  never       ///< like heuristic, but with length_penalty > 0 score the beam at its maximum length
};

/// Words of the values on a command line.
constexpr auto words_of(EarlyStopping) {
  using Word = std::pair<std::string_view, EarlyStopping>;
  return std::array{Word("false", EarlyStopping::heuristic), Word("true", EarlyStopping::at_once),
                    Word("never", EarlyStopping::never)};
}

/// Bias of a token sequence, added to the logit of its last token when the text ends with its other tokens.
struct SequenceBias {
  std::vector<int> tokens;
  double bias = 0;

  bool operator==(const SequenceBias&) const = default;
};

/// Bias for eos tokens in long completions: after `start` new tokens, their logit x becomes
/// x + |x| (factor^n - 1), n = number of new tokens - start.
struct LengthDecay {
  int start = 0;
  double factor = 1;

  bool operator==(const LengthDecay&) const = default;
};

/// Options of text generation, with Hugging Face's names, meaning and order of effect; see text_rules.hpp and
/// sampling_filters.hpp.
struct GenerationOptions {
  int max_new_tokens = 100;
  int min_length = 0;                       ///< no eos before this length, prompt included
  int min_new_tokens = 0;                   ///< no eos before this number of new tokens; overrides min_length
  std::optional<double> max_time{};         ///< seconds after which no further token is generated
  std::vector<std::string> stop_strings{};  ///< strings that end the text; require token_text
  bool do_sample = true;                    ///< false: greedy decoding
  double temperature = 1.0;                 ///< sampling: divides the logits
  int top_k = 50;                           ///< sampling; 0: all tokens
  double top_p = 0.95;                      ///< sampling; 1: all tokens
  double min_p = 0.0;                       ///< sampling; 0: all tokens
  std::optional<double> top_h{};            ///< sampling
  double typical_p = 1;                     ///< sampling; 1: all tokens
  double epsilon_cutoff = 0;                ///< sampling; 0: all tokens
  double eta_cutoff = 0;                    ///< sampling; 0: all tokens
  double repetition_penalty = 1;          ///< logits of tokens in the text: divided by it if positive, else multiplied
  double encoder_repetition_penalty = 1;  ///< like 1 / repetition_penalty, for tokens of the prompt
  int no_repeat_ngram_size = 0;           ///< 0: no restriction
  int encoder_no_repeat_ngram_size = 0;   ///< size of n-grams of the prompt that must not occur; 0: no restriction
  std::vector<std::vector<int>> bad_words_ids{};  ///< token sequences that must not occur
  std::vector<SequenceBias> sequence_bias{};
  std::vector<int> suppress_tokens{};        ///< tokens that are never generated
  std::vector<int> begin_suppress_tokens{};  ///< tokens that are never the first new token
  std::optional<int> forced_bos_token_id{};  ///< first new token after a prompt of one token
  std::vector<int> forced_eos_token_id{};    ///< tokens, one of which is forced as the max_new_tokens-th new token
  std::optional<LengthDecay> exponential_decay_length_penalty{};
  bool remove_invalid_values = false;  ///< replace NaN and infinite logits, which are errors otherwise
  bool renormalize_logits = false;     ///< beam search: normalize log-probabilities after the other options
  int num_beams = 1;                   ///< above 1: beam_search() or beam_sample()
  double length_penalty = 1;           ///< score of a beam: its log-probability / length^length_penalty
  EarlyStopping early_stopping = EarlyStopping::heuristic;
  std::uint64_t seed = 0;
  std::uint64_t sequence = 0;        ///< index of this completion of the prompt; each has its own random numbers
  std::vector<int> eos_token_ids{};  ///< tokens that end the text
  int prefill_chunk = 512;           ///< prompt tokens per pass: bounds the memory of activations
  std::function<std::string(int)> token_text{};  ///< bytes of a token, for stop_strings: token_bytes(tokenizer)
};

/// Options of a generation_config.json, with the names of GenerationOptions. Options that the file lacks are empty.
struct StoredGenerationOptions {
  std::optional<int> min_length{};
  std::optional<int> min_new_tokens{};
  std::optional<double> max_time{};
  std::optional<std::vector<std::string>> stop_strings{};
  std::optional<bool> do_sample{};
  std::optional<double> temperature{};
  std::optional<int> top_k{};
  std::optional<double> top_p{};
  std::optional<double> min_p{};
  std::optional<double> top_h{};
  std::optional<double> typical_p{};
  std::optional<double> epsilon_cutoff{};
  std::optional<double> eta_cutoff{};
  std::optional<double> repetition_penalty{};
  std::optional<double> encoder_repetition_penalty{};
  std::optional<int> no_repeat_ngram_size{};
  std::optional<int> encoder_no_repeat_ngram_size{};
  std::optional<std::vector<std::vector<int>>> bad_words_ids{};
  std::optional<std::vector<SequenceBias>> sequence_bias{};
  std::optional<std::vector<int>> suppress_tokens{};
  std::optional<std::vector<int>> begin_suppress_tokens{};
  std::optional<int> forced_bos_token_id{};
  std::optional<std::vector<int>> forced_eos_token_id{};
  std::optional<LengthDecay> exponential_decay_length_penalty{};
  std::optional<bool> remove_invalid_values{};
  std::optional<bool> renormalize_logits{};
  std::optional<int> num_beams{};
  std::optional<double> length_penalty{};
  std::optional<EarlyStopping> early_stopping{};
};

/// Names each option that a generation_config.json may hold, in the order of the file (see config/field.hpp). The
/// visitor is called with (member of o, member of stored, const Field&).
template <DescribedAs<GenerationOptions> O, DescribedAs<StoredGenerationOptions> Stored, class Visitor>
void describe_stored(O& o, Stored& stored, Visitor&& visit) {
  constexpr const char *text = "Text", *sampling = "Sampling", *rules = "Rules for tokens";
  visit(o.min_length, stored.min_length,
        Field{.name = "min_length",
              .help = "Minimum length in tokens, prompt included; end-of-text tokens are suppressed until then.",
              .section = text,
              .at_least = 0});
  visit(o.min_new_tokens, stored.min_new_tokens,
        Field{.name = "min_new_tokens",
              .help = "Minimum number of new tokens; overrides --min_length.",
              .section = text,
              .at_least = 0});
  visit(o.max_time, stored.max_time,
        Field{.name = "max_time",
              .help = "Maximum time per text in seconds. At least one token is generated.",
              .section = text,
              .at_least = 0,
              .default_text = "no limit"});
  visit(o.stop_strings, stored.stop_strings,
        Field{.name = "stop_strings",
              .help = "Strings that end a text when they occur in it. The text includes the string.",
              .section = text});
  visit(o.do_sample, stored.do_sample,
        Field{.name = "do_sample",
              .help = "Sample; --no_do_sample selects greedy decoding.",
              .section = sampling,
              .default_text = "on; off for beams",
              .negatable = true});
  visit(o.temperature, stored.temperature,
        Field{.name = "temperature",
              .help = "Divides the logits: below 1 sharpens the distribution, above 1 flattens it.",
              .section = sampling,
              .more_than = 0,
              .at_most = 1e30});
  visit(o.top_k, stored.top_k,
        Field{.name = "top_k",
              .help = "Sample from the K most likely tokens. 0: all.",
              .section = sampling,
              .at_least = 0});
  visit(o.top_p, stored.top_p,
        Field{.name = "top_p",
              .help = "Nucleus sampling: sample from the most likely tokens whose probabilities add up to P.",
              .section = sampling,
              .at_least = 0,
              .at_most = 1});
  visit(o.min_p, stored.min_p,
        Field{.name = "min_p",
              .help = "Discard tokens less likely than this fraction of the most likely token.",
              .section = sampling,
              .at_least = 0,
              .at_most = 1});
  visit(
      o.top_h, stored.top_h,
      Field{.name = "top_h",
            .help = "Top-H sampling: sample from the most likely tokens whose entropy is at most this fraction of the "
                    "entropy of the 100 most likely ones.",
            .section = sampling,
            .more_than = 0,
            .at_most = 1,
            .default_text = "off"});
  visit(o.typical_p, stored.typical_p,
        Field{.name = "typical_p",
              .help = "Locally typical sampling: sample from the most typical tokens whose probabilities add up to P.",
              .section = sampling,
              .more_than = 0,
              .at_most = 1});
  visit(o.epsilon_cutoff, stored.epsilon_cutoff,
        Field{.name = "epsilon_cutoff",
              .help = "Epsilon sampling: discard tokens less likely than this. 0: none.",
              .section = sampling,
              .at_least = 0,
              .at_most = 1});
  visit(o.eta_cutoff, stored.eta_cutoff,
        Field{.name = "eta_cutoff",
              .help =
                  "Eta sampling: like epsilon sampling, with a lower threshold where many tokens are likely. 0: none.",
              .section = sampling,
              .at_least = 0,
              .at_most = 1});
  visit(o.repetition_penalty, stored.repetition_penalty,
        Field{.name = "repetition_penalty",
              .help = "Values above 1 make tokens of the text so far less likely.",
              .section = rules,
              .more_than = 0,
              .at_most = 1e30});
  visit(o.encoder_repetition_penalty, stored.encoder_repetition_penalty,
        Field{.name = "encoder_repetition_penalty",
              .help = "Values above 1 make tokens of the prompt more likely.",
              .section = rules,
              .more_than = 0,
              .at_most = 1e30});
  visit(o.no_repeat_ngram_size, stored.no_repeat_ngram_size,
        Field{.name = "no_repeat_ngram_size",
              .help = "Size of n-grams that must not occur twice. 0: no restriction.",
              .section = rules,
              .at_least = 0});
  visit(o.encoder_no_repeat_ngram_size, stored.encoder_no_repeat_ngram_size,
        Field{.name = "encoder_no_repeat_ngram_size",
              .help = "Size of n-grams of the prompt that must not occur in the completion. 0: no restriction.",
              .section = rules,
              .at_least = 0});
  visit(o.bad_words_ids, stored.bad_words_ids,
        Field{.name = "bad_words_ids",
              .help = "Token sequences that must not occur, as JSON: \"[[5], [7, 8]]\".",
              .section = rules,
              .metavar = "JSON"});
  visit(o.sequence_bias, stored.sequence_bias,
        Field{.name = "sequence_bias",
              .help = "Biases of token sequences, each added to the logit of the last token after the others, as JSON: "
                      "\"[[[5], -2.5], [[7, 8], 1]]\".",
              .section = rules,
              .metavar = "JSON"});
  visit(o.suppress_tokens, stored.suppress_tokens,
        Field{.name = "suppress_tokens", .help = "Token ids that are never generated.", .section = rules});
  visit(
      o.begin_suppress_tokens, stored.begin_suppress_tokens,
      Field{
          .name = "begin_suppress_tokens", .help = "Token ids that are never the first new token.", .section = rules});
  visit(o.forced_bos_token_id, stored.forced_bos_token_id,
        Field{.name = "forced_bos_token_id",
              .help = "Token id that is forced as the first new token after a prompt of one token.",
              .section = rules,
              .at_least = 0});
  visit(o.forced_eos_token_id, stored.forced_eos_token_id,
        Field{.name = "forced_eos_token_id",
              .help = "Token ids, one of which is forced as the last token when the maximum length is reached.",
              .section = rules});
  visit(o.exponential_decay_length_penalty, stored.exponential_decay_length_penalty,
        Field{.name = "exponential_decay_length_penalty",
              .help = "Number of new tokens after which eos becomes more likely with each token, and the factor per "
                      "token, as JSON: \"[20, 1.1]\".",
              .section = rules,
              .metavar = "JSON"});
  visit(o.remove_invalid_values, stored.remove_invalid_values,
        Field{.name = "remove_invalid_values",
              .help = "Replace NaN and infinite logits, which are errors otherwise.",
              .section = rules});
  visit(o.renormalize_logits, stored.renormalize_logits,
        Field{.name = "renormalize_logits",
              .help = "Beam search: normalize the log-probabilities after all other options are applied.",
              .section = rules});
  visit(o.num_beams, stored.num_beams,
        Field{.name = "num_beams",
              .help = "Number of beams. Above 1: beam search, or beam sampling with --do_sample.",
              .section = sampling,
              .at_least = 1,
              .at_most = 1024});
  visit(o.length_penalty, stored.length_penalty,
        Field{.name = "length_penalty",
              .help = "Beam search: above 0 favours long texts, below 0 short ones.",
              .section = sampling});
  visit(o.early_stopping, stored.early_stopping,
        Field{.name = "early_stopping",
              .help = "Beam search: stop when a better text is unlikely (false), at num_beams finished texts (true), "
                      "or when a better text is impossible (never).",
              .section = sampling});
}

/// Names each option once (see config/field.hpp). max_new_tokens has no section: its flag is --max_new_tokens or
/// --max_length of the programs.
template <DescribedAs<GenerationOptions> O, class Visitor>
void describe(O& o, Visitor&& visit) {
  visit(o.max_new_tokens, {.name = "max_new_tokens", .at_least = 0});
  StoredGenerationOptions unused;
  describe_stored(o, unused, [&](auto& member, auto&, const Field& field) { visit(member, field); });
  visit(o.seed, {.name = "seed", .help = "Random seed of sampling.", .section = "Sampling"});
  visit(o.sequence, {.name = "sequence"});
  visit(o.eos_token_ids, {.name = "eos_token_id"});
  visit(o.prefill_chunk, {.name = "prefill_chunk", .at_least = 1});
  visit(o.token_text, {.name = "token_text"});
}

/// Throws an Error that names the first option out of the bounds of its row. `samples`: whether tokens are sampled, so
/// that the temperature must be positive.
inline void validate(const GenerationOptions& o, bool samples) {
  describe(o, [&](const auto& value, Field field) {
    // Files of greedy models often hold a temperature of 0.
    if (field.name == std::string_view("temperature")) field.more_than.reset(), field.at_least = 0;
    check_bounds(value, field);
  });
  if (samples && o.temperature == 0)
    throw Error("temperature is 0, it must be positive: turn do_sample off for greedy decoding");
  if (!o.stop_strings.empty() && !o.token_text)
    throw Error("stop_strings need the text of tokens: set token_text to token_bytes(tokenizer)");
  for (const std::string& stop : o.stop_strings)
    if (stop.empty()) throw Error("stop_strings has an empty string, which would end every text: remove it");
}
inline void validate(const GenerationOptions& o) { validate(o, o.do_sample && o.num_beams == 1); }

}  // namespace moderngpt2
