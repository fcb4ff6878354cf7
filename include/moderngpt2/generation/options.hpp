#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/config/field.hpp"
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

/// Options of text generation, with Hugging Face's names. Logits processors apply in Hugging Face's order: repetition
/// penalty, no repeated n-grams, minimum number of new tokens, temperature, top-k, top-p, min-p.
struct GenerationOptions {
  int max_new_tokens = 100;
  int min_new_tokens = 0;
  bool do_sample = true;          ///< false: greedy decoding, which ignores temperature, top_k, top_p and min_p
  double temperature = 1.0;       ///< divides the logits
  int top_k = 50;                 ///< 0: all tokens
  double top_p = 0.95;            ///< 1: all tokens
  double min_p = 0.0;             ///< 0: all tokens
  double repetition_penalty = 1;  ///< logits of tokens in the text: divided by it if positive, else multiplied
  int no_repeat_ngram_size = 0;   ///< 0: no restriction
  int num_beams = 1;              ///< above 1: beam search, which does not sample
  double length_penalty = 1;      ///< score of a beam: its log-probability / length^length_penalty
  EarlyStopping early_stopping = EarlyStopping::heuristic;
  std::uint64_t seed = 0;
  std::uint64_t sequence = 0;        ///< index of this completion of the prompt; each has its own random numbers
  std::vector<int> eos_token_ids{};  ///< tokens that end the text
  int prefill_chunk = 512;           ///< prompt tokens per pass: bounds the memory of activations
};

/// Options of a generation_config.json, with the names of GenerationOptions. Options that the file lacks are empty.
struct StoredGenerationOptions {
  std::optional<int> min_new_tokens{};
  std::optional<bool> do_sample{};
  std::optional<double> temperature{};
  std::optional<int> top_k{};
  std::optional<double> top_p{};
  std::optional<double> min_p{};
  std::optional<double> repetition_penalty{};
  std::optional<int> no_repeat_ngram_size{};
  std::optional<int> num_beams{};
  std::optional<double> length_penalty{};
  std::optional<EarlyStopping> early_stopping{};
};

/// Names each option that a generation_config.json may hold, in the order of the file (see config/field.hpp). The
/// visitor is called with (member of o, member of stored, const Field&).
template <DescribedAs<GenerationOptions> O, DescribedAs<StoredGenerationOptions> Stored, class Visitor>
void describe_stored(O& o, Stored& stored, Visitor&& visit) {
  constexpr const char* sampling = "Sampling";
  visit(o.min_new_tokens, stored.min_new_tokens,
        Field{.name = "min_new_tokens",
              .help = "Minimum number of new tokens; the end-of-text token is suppressed until then.",
              .section = "Text",
              .at_least = 0});
  visit(o.do_sample, stored.do_sample,
        Field{.name = "do_sample",
              .help = "Sample; --no_do_sample selects greedy decoding.",
              .section = sampling,
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
  visit(o.repetition_penalty, stored.repetition_penalty,
        Field{.name = "repetition_penalty",
              .help = "Above 1 makes tokens of the text so far less likely.",
              .section = sampling,
              .more_than = 0,
              .at_most = 1e30});
  visit(o.no_repeat_ngram_size, stored.no_repeat_ngram_size,
        Field{.name = "no_repeat_ngram_size",
              .help = "Size of n-grams that must not occur twice. 0: no restriction.",
              .section = sampling,
              .at_least = 0});
  visit(o.num_beams, stored.num_beams,
        Field{.name = "num_beams",
              .help = "Number of beams. Above 1: beam search, without sampling.",
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
}

/// Throws an Error that names the first setting out of range.
inline void validate(const GenerationOptions& o) {
  if (o.max_new_tokens < 0) throw Error("max_new_tokens is {}, it must not be negative", o.max_new_tokens);
  if (o.min_new_tokens < 0) throw Error("min_new_tokens is {}, it must not be negative", o.min_new_tokens);
  if (o.prefill_chunk < 1) throw Error("prefill_chunk is {}, it must be positive", o.prefill_chunk);
  if (!(o.repetition_penalty > 0 && std::isfinite(o.repetition_penalty)))
    throw Error("repetition_penalty is {}, it must be positive", o.repetition_penalty);
  if (o.no_repeat_ngram_size < 0)
    throw Error("no_repeat_ngram_size is {}, it must not be negative", o.no_repeat_ngram_size);
  if (o.num_beams < 1) throw Error("num_beams is {}, it must be positive", o.num_beams);
  if (!std::isfinite(o.length_penalty)) throw Error("length_penalty is {}, it must be a number", o.length_penalty);
  if (!o.do_sample || o.num_beams > 1) return;
  if (!(o.temperature > 0 && std::isfinite(o.temperature)))
    throw Error("temperature is {}, it must be positive: turn do_sample off for greedy decoding", o.temperature);
  if (o.top_k < 0) throw Error("top_k is {}, it must not be negative", o.top_k);
  if (!(o.top_p >= 0 && o.top_p <= 1)) throw Error("top_p is {}, it must be between 0 and 1", o.top_p);
  if (!(o.min_p >= 0 && o.min_p <= 1)) throw Error("min_p is {}, it must be between 0 and 1", o.min_p);
}

}  // namespace moderngpt2
