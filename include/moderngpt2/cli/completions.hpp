#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/exit_request.hpp"
#include "moderngpt2/cli/generate_flags.hpp"
#include "moderngpt2/cli/interrupt.hpp"
#include "moderngpt2/cli/prompts_file.hpp"
#include "moderngpt2/cli/text_streams.hpp"
#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

namespace detail {

/// Generates `num_return_sequences` completions of each prompt, with consecutive indices. Calls token(index, id) for
/// each token, except in beam search, and done(index, result). Throws ExitRequest after a signal.
template <class M, class Token, class Done>
void complete_all(M& model, const std::vector<std::vector<int>>& prompts, const GenerateFlags& flags, Token&& token,
                  Done&& done) {
  const std::size_t each = std::size_t(flags.num_return_sequences);
  std::vector<GenerationRequest> requests;
  for (std::size_t i = 0; i < prompts.size(); ++i) try {
      const std::size_t length = prompt_or_eos(prompts[i], flags.settings.eos_token_ids).size();
      max_new_tokens_after(length, model.config());
      GenerationRequest request{prompts[i], flags.settings};
      request.options.max_new_tokens = new_tokens_after(length, flags);
      for (std::size_t sequence = 0; sequence < each; ++sequence) {
        request.options.sequence = sequence;
        requests.push_back(request);
      }
    } catch (const Error& error) {
      if (prompts.size() == 1) throw;
      throw Error("prompt {}: {}", i + 1, error.what());
    }
  if (flags.settings.num_beams == 1) {
    generate_batch(
        model, requests, flags.batch_size,
        [&](std::size_t index, int id) {
          token(index, id);
          return !interrupted();
        },
        done);
    if (const int signal = interrupted()) throw ExitRequest{stop_status(signal), ""};
    return;
  }
  for (std::size_t first = 0; first < requests.size(); first += each) {
    const GenerationRequest& request = requests[first];
    auto results = beam_search(model, request.prompt, request.options, flags.num_return_sequences,
                               [](int) { return !interrupted(); });
    if (const int signal = interrupted()) throw ExitRequest{stop_status(signal), ""};
    results.resize(each);  // a tiny vocabulary may have fewer completions
    for (std::size_t i = 0; i < each; ++i) done(first + i, results[i]);
  }
}

}  // namespace detail

/// Completions of one prompt, with statistics.
struct Completions {
  std::vector<GenerationResult> results;
  double seconds = 0;  ///< from the start of the prompt to the last token

  /// Formats lengths and speed, in tokens/s.
  std::string speed() const {
    std::size_t tokens = 0;
    for (const GenerationResult& result : results) tokens += result.tokens.size();
    const double decode = seconds - results.front().prefill_seconds;
    return fmt::format("prompt {} tokens, {:.0f} tokens/s; {} {}, {} tokens, {:.1f} tokens/s",
                       results.front().prompt_tokens, results.front().prefill_rate(), results.size(),
                       results.size() == 1 ? "completion" : "completions", tokens,
                       decode > 0 ? double(tokens) / decode : 0.0);
  }
  /// Whether a completion reached the model's maximum context length.
  bool reached_n_positions() const {
    return std::ranges::any_of(results, [](const auto& r) { return r.stop == StopReason::n_positions; });
  }
};

/// Generates completions of one prompt and writes them, separated by a line of dashes. Streams tokens except in beam
/// search.
template <class M>
Completions stream_completions(M& model, const Tokenizer& tokenizer, const std::vector<int>& prompt,
                               const GenerateFlags& flags, const std::function<void(const std::string&)>& write) {
  const std::size_t count = std::size_t(flags.num_return_sequences);
  TextStreams streams(tokenizer, count, write);
  Completions completions{std::vector<GenerationResult>(count)};
  const double start = seconds_now();
  const bool beams = flags.settings.num_beams > 1;
  detail::complete_all(
      model, {prompt}, flags, [&](std::size_t index, int token) { streams.put(index, token); },
      [&](std::size_t index, const GenerationResult& result) {
        for (std::size_t i = 0; beams && i < result.tokens.size(); ++i) streams.put(index, result.tokens[i]);
        streams.end(index);
        completions.results[index] = result;
      });
  completions.seconds = seconds_now() - start;
  return completions;
}

/// Generates completions of several prompts. Writes a line of JSON for each, in the order of the prompts, as soon as
/// all previous ones are complete.
template <class M>
void write_completions(M& model, const Tokenizer& tokenizer, const std::vector<std::string>& prompts,
                       const std::vector<std::vector<int>>& ids, const GenerateFlags& flags,
                       const std::function<void(const std::string&)>& write) {
  const std::size_t each = std::size_t(flags.num_return_sequences);
  std::vector<std::string> lines(prompts.size() * each);
  std::size_t next = 0;
  detail::complete_all(
      model, ids, flags, [](std::size_t, int) {},
      [&](std::size_t index, const GenerationResult& result) {
        if (interrupted()) return;  // the completion is incomplete
        lines[index] = completion_line(prompts[index / each], tokenizer.decode(result.tokens, true));
        for (; next < lines.size() && !lines[next].empty(); lines[next++].clear()) write(lines[next]);
      });
}

}  // namespace moderngpt2
