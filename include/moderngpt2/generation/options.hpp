#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// When a beam search may end before every beam has: Hugging Face's early_stopping false, true and "never".
enum class EarlyStopping : unsigned char {
  heuristic,  ///< when the best running beam, scored at its present length, is no better than the worst kept text
  at_once,    ///< as soon as there are num_beams finished texts
  never       ///< when no running beam could still win, at the longest length where the penalty favours long texts
};

/// How a text is continued. The names and the order in which the settings act are Hugging Face's: repetition penalty,
/// no repeated n-grams, least new tokens, temperature, top-k, top-p, min-p.
struct GenerationOptions {
  int max_new_tokens = 100;
  int min_new_tokens = 0;         ///< before that many, no eos
  bool do_sample = true;          ///< false: the likeliest token (greedy); temperature, top and min do not act then
  double temperature = 1.0;       ///< divides the logits
  int top_k = 50;                 ///< tokens to choose from; 0: all
  double top_p = 0.95;            ///< the likeliest tokens that have this much probability together; 1: all
  double min_p = 0.0;             ///< least probability, as a part of the likeliest token's; 0: none
  double repetition_penalty = 1;  ///< logits of tokens that are there already: divided where positive, else multiplied
  int no_repeat_ngram_size = 0;   ///< no run of so many tokens stands twice in the text, prompt included; 0: any may
  int num_beams = 1;              ///< texts that a beam search follows; it does not sample
  double length_penalty = 1;      ///< a beam's score is its log-probability / length^length_penalty
  EarlyStopping early_stopping = EarlyStopping::heuristic;
  std::uint64_t seed = 0;
  std::uint64_t sequence = 0;  ///< which of several completions of a prompt this is: each has random numbers of its own
  std::vector<int> eos_token_ids{};  ///< any of them ends the text
  int prefill_chunk = 512;           ///< tokens of the prompt in one pass: bounds the memory of activations
};

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
    throw Error("temperature is {}, it must be positive: turn do_sample off for the likeliest tokens", o.temperature);
  if (o.top_k < 0) throw Error("top_k is {}, it must not be negative", o.top_k);
  if (!(o.top_p >= 0 && o.top_p <= 1)) throw Error("top_p is {}, it must be between 0 and 1", o.top_p);
  if (!(o.min_p >= 0 && o.min_p <= 1)) throw Error("min_p is {}, it must be between 0 and 1", o.min_p);
}

}  // namespace moderngpt2
