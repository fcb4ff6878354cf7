#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/tokenizer/unused_ids.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"
#include "moderngpt2/training/metrics.hpp"

namespace moderngpt2 {

/// Prompts that the model completes at each evaluation.
struct SampleSettings {
  std::vector<std::string> prompts{};
  int max_new_tokens = 60;  ///< per completion
};

/// Completes the prompts and appends the completions to samples.jsonl: {"step", "prompt", "completion"}. Uses its own
/// random numbers, the same at each call, and changes neither weights nor the run's random state. Threads: one at a
/// time.
class SampleLog {
 public:
  /// `eos_token_ids` end a completion. `step`: step of the checkpoint to resume from; 0 starts an empty file. Throws
  /// Error if a prompt has as many tokens as the model has positions, or more.
  SampleLog(const std::filesystem::path& output_dir, std::int64_t step, SampleSettings settings, Tokenizer tokenizer,
            const Config& config, std::vector<int> eos_token_ids, std::uint64_t seed)
      : settings_(std::move(settings)),
        tokenizer_(std::move(tokenizer)),
        file_(step > 0 ? MetricsFile(output_dir / "samples.jsonl", step, Json::array())
                       : MetricsFile(output_dir / "samples.jsonl")) {
    options_.eos_token_ids = std::move(eos_token_ids);
    options_.seed = seed;
    options_.max_new_tokens = settings_.max_new_tokens;
    options_.suppress_tokens = unused_ids(tokenizer_, config.vocab_size);
    for (std::string& prompt : settings_.prompts) {
      prompt = replace_invalid_utf8(prompt);
      ids_.push_back(prompt_or_eos(tokenizer_.encode_prompt(prompt), options_.eos_token_ids));
      if (ids_.back().size() >= std::size_t(config.n_positions))
        throw Error("--sample_prompts: {} has {} tokens, the model has {} positions", excerpt(prompt),
                    ids_.back().size(), config.n_positions);
    }
  }

  /// Completes every prompt and passes one line about each to `say`. If generation fails, as with weights that are not
  /// finite, the line states the reason; nothing is thrown.
  template <class M, class Say>
  void write(M& model, std::int64_t step, Say&& say) {
    for (std::size_t i = 0; i < ids_.size(); ++i) {
      const std::string& prompt = settings_.prompts[i];
      std::string completion;
      try {
        completion = tokenizer_.decode(generate(model, ids_[i], options_).tokens, true);
      } catch (const Error& error) {
        say(fmt::format("step {}  no sample for {}: {}", step, excerpt(prompt), error.what()));
        continue;
      }
      say(fmt::format("step {}  sample {} -> {}", step, excerpt(prompt), excerpt(completion, 400)));
      file_.add(Json{{"step", step}, {"prompt", prompt}, {"completion", completion}});
    }
    file_.sync();
  }

 private:
  SampleSettings settings_;
  Tokenizer tokenizer_;
  GenerationOptions options_;
  std::vector<std::vector<int>> ids_;
  MetricsFile file_;
};

}  // namespace moderngpt2
