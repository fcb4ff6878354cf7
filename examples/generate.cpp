/// Continues a text with a trained model: reads the command line, opens the checkpoint and streams the completion.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/cli/interrupt.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/io/generation_config.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/tokenizer/stream_decoder.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace {

using namespace moderngpt2;

int program(int argc, char** argv) {
  std::filesystem::path model_path;
  std::optional<std::string> prompt;
  std::optional<int> max_new_tokens;
  int max_length = 100, sequences = 1, threads = available_threads();
  std::string precision = "fp32";
  bool verbose = ::isatty(STDERR_FILENO) == 1;
  GenerationOptions settings;
  settings.seed = 42;

  Options options("generate",
                  "Continues a text with a trained model. The checkpoint's generation_config.json is heeded "
                  "where a flag is not typed.");
  options.section("Text");
  options.add("model_path", model_path, "the checkpoint's folder").required();
  options.add("prompt", prompt, "the text to continue; without it, standard input (less a last line feed)");
  options.add("max_new_tokens", max_new_tokens, "tokens to write; outranks --max_length").at_least(0);
  options.add("max_length", max_length, "tokens of the whole text, prompt included").at_least(1);
  options.add("num_return_sequences", sequences, "completions to write, with a line of dashes between").at_least(1);
  options.section("Choice of tokens");
  options.add("do_sample", settings.do_sample, "draws tokens by chance; without it, the likeliest").negatable();
  options.add("temperature", settings.temperature, "below 1 likelier tokens, above 1 more variety").more_than(0);
  options.add("top_k", settings.top_k, "draws from this many of the likeliest tokens; 0: all").at_least(0);
  options.add("top_p", settings.top_p, "draws from the likeliest tokens with this probability together").between(0, 1);
  options.add("min_p", settings.min_p, "leaves out tokens less likely than this part of the likeliest").between(0, 1);
  options.add("repetition_penalty", settings.repetition_penalty, "above 1 makes tokens of the text less likely")
      .more_than(0);
  options.add("seed", settings.seed, "of the random numbers");
  options.section("Run");
  options.add("threads", threads, "threads").between(1, 1024).default_text("all cores");
  options.add("precision", precision, "type of the numbers").choices({"fp32"});
  options.add("verbose", verbose, "tells the speed on standard error").default_text("on a terminal");
  options.parse(argc, argv);
  if (sequences > 1 && !settings.do_sample)
    throw UsageError("--num_return_sequences above 1 needs --do_sample: the likeliest tokens are always the same");
  if (!prompt && ::isatty(STDIN_FILENO) == 1) throw UsageError("--prompt is needed, or a text on standard input");

  const ConfigFile config = read_config(model_path);
  GenerationConfigFile stored;
  if (std::filesystem::exists(model_path / "generation_config.json")) stored = read_generation_config(model_path);
  const auto take = [&](const char* flag, auto& target, const auto& value) {
    if (value && !options.typed(flag)) target = *value;
  };
  if (!options.typed("max_length")) take("max_new_tokens", max_new_tokens, stored.max_new_tokens);
  take("max_length", max_length, stored.max_length);
  take("do_sample", settings.do_sample, stored.do_sample);
  take("temperature", settings.temperature, stored.temperature);
  take("top_k", settings.top_k, stored.top_k);
  take("top_p", settings.top_p, stored.top_p);
  take("min_p", settings.min_p, stored.min_p);
  take("repetition_penalty", settings.repetition_penalty, stored.repetition_penalty);
  settings.eos_token_ids = stored.eos_token_ids.empty() ? config.eos_token_ids : stored.eos_token_ids;

  const Tokenizer tokenizer = Tokenizer::load(model_path);
  if (tokenizer.vocab_size() > config.config.vocab_size)
    throw Error("{}: the tokenizer has {} tokens, the model's vocabulary {}: they do not belong together",
                model_path.string(), tokenizer.vocab_size(), config.config.vocab_size);
  std::erase_if(settings.eos_token_ids, [&](int id) { return id >= config.config.vocab_size; });
  if (settings.eos_token_ids.empty() && tokenizer.eos_id()) settings.eos_token_ids = {*tokenizer.eos_id()};

  if (!prompt) {
    prompt.emplace(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
    if (prompt->ends_with('\n')) prompt->pop_back();
  }
  std::vector<int> ids = tokenizer.prefix_ids();
  tokenizer.encode(*prompt, ids);
  ids = prompt_or_eos(ids, settings.eos_token_ids);
  settings.max_new_tokens = max_new_tokens ? *max_new_tokens : max_length - int(ids.size());
  if (settings.max_new_tokens < 0 || (!max_new_tokens && settings.max_new_tokens == 0))
    throw Error(
        "the prompt has {} tokens, which leaves no room within max_length {}: raise --max_length, or give "
        "--max_new_tokens",
        ids.size(), max_length);

  auto model = load_model<CausalLM<any_shape>>(model_path, cpu::Backend(threads));
  Generator generator(model, std::int64_t(ids.size()) + settings.max_new_tokens);
  catch_interrupts();
  for (; settings.sequence < std::uint64_t(sequences); ++settings.sequence) {
    StreamDecoder decoder(tokenizer);
    if (settings.sequence > 0) fmt::print("---\n");
    const GenerationResult result = generator.generate(ids, settings, [&](int token) {
      std::fputs(decoder.put(token).c_str(), stdout);
      flush_standard_output();
      return !interrupted();
    });
    fmt::print("{}\n", decoder.finish());
    flush_standard_output();
    if (const int signal = interrupted()) throw ExitRequest{128 + signal, ""};
    if (result.stop == StopReason::n_positions)
      fmt::print(stderr, "generate: stopped at the model's longest text, n_positions {}\n", config.config.n_positions);
    if (verbose)
      fmt::print(stderr, "generate: prompt {} tokens, {:.0f} tokens/s; completion {} tokens, {:.1f} tokens/s\n",
                 result.prompt_tokens, result.prefill_rate(), result.tokens.size(), result.decode_rate());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
