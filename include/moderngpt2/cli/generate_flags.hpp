#pragma once

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "moderngpt2/cli/chat_format.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/cli/precision_flags.hpp"
#include "moderngpt2/cli/training_flags.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/generation/options.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/generation_config.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// What can be asked of the program that generates text.
struct GenerateFlags {
  std::filesystem::path model_path;
  std::optional<std::string> prompt;
  std::optional<std::filesystem::path> prompts_file, output_file;
  std::optional<int> max_new_tokens;
  int max_length = 100;
  bool max_length_given = false;  // by the command line or the checkpoint
  int num_return_sequences = 1;
  int batch_size = 8;
  bool interactive = false;
  ChatFormat chat_format = ChatFormat::automatic;
  std::optional<std::string> system_prompt;
  int threads = available_threads();
  PrecisionFlags precision{};
  bool verbose = false;
  std::string device = "cpu";
  GenerationOptions settings{.seed = 42};
};

/// New tokens of an answer in a chat, where nobody says otherwise.
inline constexpr int default_answer_tokens = 256;

inline void add_generate_flags(Options& options, GenerateFlags& flags) {
  GenerationOptions& s = flags.settings;
  options.section("Text");
  options.add("model_path", flags.model_path, "the checkpoint's folder").required().metavar("DIR");
  options.add("prompt", flags.prompt, "the text to continue; without it, standard input (less a last line feed)");
  options.add("prompts_file", flags.prompts_file,
              "many texts to continue: a prompt in each line (.txt) or in the field \"prompt\" of each line's object "
              "(.jsonl); writes a line {\"prompt\": ..., \"completion\": ...} for each completion");
  options.add("output_file", flags.output_file, "where the lines of --prompts_file go, once all are there")
      .default_text("standard output");
  options.add("max_new_tokens", flags.max_new_tokens, "tokens to write; outranks --max_length").at_least(0);
  options.add("max_length", flags.max_length, "tokens of the whole text, prompt included").at_least(1);
  options.add("min_new_tokens", s.min_new_tokens, "no end of text before so many tokens").at_least(0);
  options
      .add("num_return_sequences", flags.num_return_sequences, "completions of a prompt, with a line of dashes between")
      .at_least(1);
  options.add("batch_size", flags.batch_size, "texts to compute together; takes memory for each").between(1, 4096);
  options.section("Choice of tokens");
  options.add("do_sample", s.do_sample, "draws tokens by chance; without it, the likeliest").negatable();
  options.add("temperature", s.temperature, "below 1 likelier tokens, above 1 more variety").more_than(0);
  options.add("top_k", s.top_k, "draws from this many of the likeliest tokens; 0: all").at_least(0);
  options.add("top_p", s.top_p, "draws from the likeliest tokens with this probability together").between(0, 1);
  options.add("min_p", s.min_p, "leaves out tokens less likely than this part of the likeliest").between(0, 1);
  options.add("repetition_penalty", s.repetition_penalty, "above 1 makes tokens of the text less likely").more_than(0);
  options.add("no_repeat_ngram_size", s.no_repeat_ngram_size, "no run of so many tokens stands twice; 0: any may")
      .at_least(0);
  options.add("num_beams", s.num_beams, "above 1: beam search, which follows so many texts and draws nothing")
      .between(1, 1024);
  options.add("length_penalty", s.length_penalty, "beams: above 0 favours long texts, below 0 short ones");
  options.add_choice(
      "early_stopping", s.early_stopping,
      {{"false", EarlyStopping::heuristic}, {"true", EarlyStopping::at_once}, {"never", EarlyStopping::never}},
      "beams: ends when a better text is unlikely, with num_beams finished ones, or is impossible");
  options.add("seed", s.seed, "of the random numbers");
  options.section("Chat");
  options.add("interactive", flags.interactive,
              "a chat; ends with quit, exit or the end of the input; Ctrl-C ends an answer, or the chat");
  options.add_choice("chat_format", flags.chat_format,
                     {{"auto", ChatFormat::automatic}, {"plain", ChatFormat::plain}, {"header", ChatFormat::header}},
                     "plain continues each line by itself, header keeps the chat; auto: header where the checkpoint "
                     "has a chat template");
  options.add("system_prompt", flags.system_prompt, "what the chat is told at its beginning");
  options.section("Run");
  options.add("threads", flags.threads, "threads").between(1, 1024).default_text("all cores");
  add_precision_flags(options, flags.precision, "number format; bf16 takes half the memory, tf32 and fp16 need a GPU");
  options.add("verbose", flags.verbose, "tells the speed on standard error").default_text("on a terminal");
  options.add("device", flags.device, "what computes: cpu, or in builds with CUDA cuda or cuda:N").metavar("DEVICE");
}

/// Throws a UsageError for flags that contradict each other.
inline void check_generate_flags(const Options& options, const GenerateFlags& flags) {
  const auto refuse_together = [&](const char* a, const char* b) {
    if (options.typed(a) && options.typed(b)) throw UsageError("--{} and --{} do not go together", a, b);
  };
  gpu_number(flags.device);
  refuse_together("prompt", "prompts_file");
  if (flags.output_file && !flags.prompts_file) throw UsageError("--output_file is for the lines of --prompts_file");
  if (flags.interactive) {
    for (const char* flag : {"prompt", "prompts_file"}) refuse_together("interactive", flag);
    if (options.typed("num_beams") && flags.settings.num_beams > 1)
      throw UsageError("--num_beams above 1 and --interactive do not go together: a beam search cannot be streamed");
    if (options.typed("num_return_sequences") && flags.num_return_sequences > 1)
      throw UsageError("--num_return_sequences above 1 and --interactive do not go together: a chat has one answer");
  } else {
    for (const char* flag : {"chat_format", "system_prompt"})
      if (options.typed(flag)) throw UsageError("--{} is for a chat: add --interactive", flag);
  }
  if (options.typed("num_beams") && options.typed("do_sample") && flags.settings.num_beams > 1 &&
      flags.settings.do_sample)
    throw UsageError("--num_beams above 1 and --do_sample do not go together: a beam search draws nothing");
}

namespace detail {

/// Beams and the number of completions, where flags and file together must make sense. What was typed wins.
inline void settle_sequences(const Options& options, GenerateFlags& flags) {
  GenerationOptions& s = flags.settings;
  if (flags.interactive) s.num_beams = flags.num_return_sequences = 1;
  if (s.num_beams > 1 && options.typed("do_sample") && s.do_sample) s.num_beams = 1;
  if (s.num_beams > 1) s.do_sample = false;
  const int most = s.num_beams > 1 ? s.num_beams : s.do_sample ? flags.num_return_sequences : 1;
  if (flags.num_return_sequences > most && options.typed("num_return_sequences"))
    throw s.num_beams > 1 ? UsageError("--num_return_sequences {} is more than the {} beams: raise --num_beams",
                                       flags.num_return_sequences, s.num_beams)
                          : UsageError(
                                "--num_return_sequences above 1 needs --do_sample, or --num_beams: the likeliest "
                                "tokens are always the same");
  flags.num_return_sequences = std::min(flags.num_return_sequences, most);
}

}  // namespace detail

/// Takes from the checkpoint's generation_config.json what was not typed, and the tokens that end a text.
inline void merge_generation_config(const Options& options, const GenerationConfigFile& stored, GenerateFlags& flags) {
  GenerationOptions& s = flags.settings;
  const auto take = [&](const char* flag, auto& target, const auto& value) {
    if (value && !options.typed(flag)) target = *value;
  };
  if (!options.typed("max_length")) take("max_new_tokens", flags.max_new_tokens, stored.max_new_tokens);
  flags.max_length_given = options.typed("max_length") || stored.max_length;
  take("max_length", flags.max_length, stored.max_length);
  take("min_new_tokens", s.min_new_tokens, stored.min_new_tokens);
  take("num_return_sequences", flags.num_return_sequences, stored.num_return_sequences);
  take("do_sample", s.do_sample, stored.do_sample);
  take("temperature", s.temperature, stored.temperature);
  take("top_k", s.top_k, stored.top_k);
  take("top_p", s.top_p, stored.top_p);
  take("min_p", s.min_p, stored.min_p);
  take("repetition_penalty", s.repetition_penalty, stored.repetition_penalty);
  take("no_repeat_ngram_size", s.no_repeat_ngram_size, stored.no_repeat_ngram_size);
  take("num_beams", s.num_beams, stored.num_beams);
  take("length_penalty", s.length_penalty, stored.length_penalty);
  take("early_stopping", s.early_stopping, stored.early_stopping);
  s.eos_token_ids = stored.eos_token_ids;
  detail::settle_sequences(options, flags);
}

/// Opens a checkpoint's tokenizer, and settles by its files what the command line leaves open. Throws an Error for a
/// checkpoint with another head than a language model's.
inline Tokenizer load_generation_settings(const Options& options, const ConfigFile& config, GenerateFlags& flags) {
  if (config.architecture != architectures[0])
    throw Error("{}: a {}, which continues no text: that takes a {}", flags.model_path.string(), config.architecture,
                architectures[0]);
  GenerationConfigFile stored;
  if (std::filesystem::exists(flags.model_path / "generation_config.json"))
    stored = read_generation_config(flags.model_path);
  merge_generation_config(options, stored, flags);
  Tokenizer tokenizer = Tokenizer::load(flags.model_path);
  if (tokenizer.vocab_size() > config.config.vocab_size)
    throw Error("{}: the tokenizer has {} tokens, the model's vocabulary {}: they do not belong together",
                flags.model_path.string(), tokenizer.vocab_size(), config.config.vocab_size);
  std::vector<int>& eos = flags.settings.eos_token_ids;
  if (eos.empty()) eos = config.eos_token_ids;
  std::erase_if(eos, [&](int id) { return id >= config.config.vocab_size; });
  if (eos.empty() && tokenizer.eos_id()) eos = {*tokenizer.eos_id()};
  return tokenizer;
}

/// How many tokens may follow a prompt of so many; an Error where max_length leaves no room.
inline int new_tokens_after(std::size_t prompt_tokens, const GenerateFlags& flags) {
  if (flags.max_new_tokens) return *flags.max_new_tokens;
  if (prompt_tokens >= std::size_t(flags.max_length))
    throw Error(
        "the prompt has {} tokens, which leaves no room within max_length {}: raise --max_length, or give "
        "--max_new_tokens",
        prompt_tokens, flags.max_length);
  return flags.max_length - int(prompt_tokens);
}

}  // namespace moderngpt2
