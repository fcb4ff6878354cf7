#pragma once

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/chat_format.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/cli/precision_flags.hpp"
#include "moderngpt2/cli/tokenizer_flags.hpp"
#include "moderngpt2/cli/training_flags.hpp"
#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/generation/options.hpp"
#include "moderngpt2/generation/text_rules.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/generation_config.hpp"
#include "moderngpt2/io/generation_values.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/tokenizer_files.hpp"
#include "moderngpt2/run/tokenizer_choice.hpp"
#include "moderngpt2/tokenizer/token_bytes.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/tokenizer/unused_ids.hpp"

namespace moderngpt2 {

/// Values of the flags of `generate`.
struct GenerateFlags {
  std::filesystem::path model_path;
  std::optional<std::filesystem::path> tokenizer_path;
  TokenizerChoice tokenizer{};
  std::optional<std::string> prompt;
  std::optional<std::filesystem::path> prompts_file, output_file;
  std::optional<int> max_new_tokens;
  int max_length = 100;
  bool max_length_given = false;  ///< whether the command line or generation_config.json sets max_length
  int num_return_sequences = 1;
  int batch_size = 8;
  bool interactive = false;
  ChatFormat chat_format = ChatFormat::automatic;
  std::optional<std::string> system_prompt;
  int threads = available_threads();
  PrecisionFlags precision{};
  std::optional<WeightFormat> weights{};
  bool verbose = false;
  std::string device = "cpu";
  GenerationOptions settings{.seed = 42};
  std::vector<std::string> notes{};  ///< lines for standard error
};

/// Maximum number of new tokens of an answer in a chat, unless a flag or the checkpoint gives it.
inline constexpr int default_answer_tokens = 256;

/// Adds the flags of `generate` to its options.
inline void add_generate_flags(Options& options, GenerateFlags& flags) {
  options.section("Text");
  options.add("model_path", flags.model_path, "Folder of the checkpoint.").required().metavar("DIR");
  options.add("tokenizer_path", flags.tokenizer_path, tokenizer_path_help).default_text("that of --model_path");
  options.add("tokenizer_pattern", flags.tokenizer.pattern, tokenizer_pattern_help).metavar("NAME|REGEX");
  options.add("eos_token", flags.tokenizer.eos_token, "Token that ends a completion.")
      .default_text("from generation_config.json, config.json or the tokenizer");
  options.add("eos_token_id", flags.tokenizer.eos_token_id, "Id of the token that ends a completion.").at_least(0);
  options.add("prompt", flags.prompt, "Prompt to complete. Default: standard input, without a final newline.");
  options.add("prompts_file", flags.prompts_file,
              "File of prompts: one per line (.txt), or the field \"prompt\" of each JSON object (.jsonl, .ndjson, "
              ".json). Writes a line {\"prompt\": ..., \"completion\": ...} per completion.");
  options
      .add("output_file", flags.output_file, "File for the completions of --prompts_file; written when all are done.")
      .default_text("standard output");
  options.add("max_new_tokens", flags.max_new_tokens, "Maximum number of new tokens; overrides --max_length.")
      .at_least(0);
  options.add("max_length", flags.max_length, "Maximum length in tokens, prompt included.").at_least(1);
  options.add_all(flags.settings);
  describe(flags.settings, [&]<class T>(T& member, const Field& field) {
    if constexpr (detail::JsonOption<T>)
      options.add<std::string>(field, [&member, name = std::string(field.name)](const std::string& text) {
        const std::string flag = "--" + name;
        using Value = typename detail::OptionalTraits<T>::value_type;
        try {
          member = detail::generation_value<Value>(parse_json(text, flag), name, flag);
        } catch (const Error& error) {
          throw UsageError("{}", error.what());
        }
      });
  });
  options.section("Text");
  options
      .add("num_return_sequences", flags.num_return_sequences, "Completions per prompt, separated by a line of dashes.")
      .at_least(1);
  options.add("batch_size", flags.batch_size, "Number of sequences decoded together. Memory use grows with it.")
      .between(1, 4096);
  options.section("Chat");
  options.add("interactive", flags.interactive,
              "Chat in the terminal. quit, exit or end of input ends it. Ctrl-C stops an answer; at the prompt it ends "
              "the chat.");
  options.add_choice("chat_format", flags.chat_format,
                     {{"auto", ChatFormat::automatic},
                      {"plain", ChatFormat::plain},
                      {"header", ChatFormat::header},
                      {"chatml", ChatFormat::chatml},
                      {"gemma", ChatFormat::gemma},
                      {"llama2", ChatFormat::llama2}},
                     "Format of the chat. auto: the checkpoint's chat template, or plain if it has none; plain: "
                     "complete each line on its own; header, chatml, gemma, llama2: a conversation in this "
                     "format.");
  options.add("system_prompt", flags.system_prompt, "System message at the start of the chat.");
  options.section("Run");
  options.add("threads", flags.threads, "CPU threads.").between(1, 1024).default_text("all cores");
  add_precision_flags(options, flags.precision,
                      "Number format of weights and activations. bf16 halves the memory; tf32 and fp16 need a GPU.");
  options
      .add("weights", flags.weights,
           "Quantize all matrices while loading: 8 or 4 bits a value with a scale per 32 values. Decoding on the CPU "
           "reads 0.27 or 0.14 times the bytes of fp32.")
      .default_text("format of --precision");
  options.add("verbose", flags.verbose, "Print tokens/s to standard error.").default_text("on a terminal");
  options.add("device", flags.device, "Compute device: cpu, or cuda or cuda:N in builds with CUDA.").metavar("DEVICE");
}

/// Throws a UsageError for flags that contradict each other.
inline void check_generate_flags(const Options& options, const GenerateFlags& flags) {
  const auto refuse_together = [&](const char* a, const char* b) {
    if (options.typed(a) && options.typed(b)) throw UsageError("--{} and --{} do not go together", a, b);
  };
  if (flags.weights) {
    if (gpu_number(flags.device))
      throw UsageError("--weights {} is for the CPU: use --device cpu, or leave out --weights",
                       weight_format_name(*flags.weights));
    if (precision_of(options, flags.precision) != PrecisionName::fp32)
      throw UsageError("--weights {} computes activations in fp32: leave out --precision {}",
                       weight_format_name(*flags.weights), precision_name(precision_of(options, flags.precision)));
  }
  gpu_number(flags.device);
  refuse_together("prompt", "prompts_file");
  if (flags.output_file && !flags.prompts_file) throw UsageError("--output_file is for the lines of --prompts_file");
  if (flags.interactive) {
    for (const char* flag : {"prompt", "prompts_file"}) refuse_together("interactive", flag);
    if (options.typed("num_beams") && flags.settings.num_beams > 1)
      throw UsageError("--num_beams above 1 and --interactive do not go together: beam search cannot be streamed");
    if (options.typed("num_return_sequences") && flags.num_return_sequences > 1)
      throw UsageError("--num_return_sequences above 1 and --interactive do not go together: a chat has one answer");
  } else {
    for (const char* flag : {"chat_format", "system_prompt"})
      if (options.typed(flag)) throw UsageError("--{} is for a chat: add --interactive", flag);
  }
}

namespace detail {

/// Resolves num_beams, do_sample and num_return_sequences from flags and generation_config.json (`stored`).
inline void settle_sequences(const Options& options, const GenerationConfigFile& stored, GenerateFlags& flags,
                             const char* source) {
  GenerationOptions& s = flags.settings;
  if (flags.interactive) {
    if (s.num_beams > 1 || flags.num_return_sequences > 1)
      flags.notes.push_back(fmt::format(
          "{}: a chat has one answer, without beams: num_beams and num_return_sequences are not used", source));
    s.num_beams = flags.num_return_sequences = 1;
  }
  // The default is to sample, but beams sample only where do_sample is set, as in Transformers.
  if (s.num_beams > 1 && !options.typed("do_sample") && !stored.do_sample) s.do_sample = false;
  const int most = s.num_beams > 1 ? s.num_beams : s.do_sample ? flags.num_return_sequences : 1;
  if (flags.num_return_sequences > most && options.typed("num_return_sequences"))
    throw s.num_beams > 1 ? UsageError("--num_return_sequences {} is more than the {} beams: raise --num_beams",
                                       flags.num_return_sequences, s.num_beams)
                          : UsageError(
                                "--num_return_sequences above 1 needs --do_sample or --num_beams: greedy decoding "
                                "has only one result");
  if (flags.num_return_sequences > most)
    flags.notes.push_back(
        fmt::format("{}: num_return_sequences {} is reduced to {}", source, flags.num_return_sequences, most));
  flags.num_return_sequences = std::min(flags.num_return_sequences, most);
}

}  // namespace detail

/// Copies the options of a generation_config.json whose flags were not given, and its end-of-text tokens. `source`:
/// name of the file in notes.
inline void merge_generation_config(const Options& options, const GenerationConfigFile& stored, GenerateFlags& flags,
                                    const char* source = "generation_config.json") {
  GenerationOptions& s = flags.settings;
  const auto take = [&](const char* flag, auto& target, const auto& value) {
    if (value && !options.typed(flag)) target = *value;
  };
  if (!options.typed("max_length")) take("max_new_tokens", flags.max_new_tokens, stored.max_new_tokens);
  flags.max_length_given = options.typed("max_length") || stored.max_length;
  take("max_length", flags.max_length, stored.max_length);
  take("num_return_sequences", flags.num_return_sequences, stored.num_return_sequences);
  describe_stored(s, static_cast<const StoredGenerationOptions&>(stored),
                  [&](auto& target, const auto& value, const Field& field) { take(field.name, target, value); });
  // A minimum of new tokens overrides a minimum length, whatever its value, like in Transformers.
  if (options.typed("min_new_tokens") || (stored.min_new_tokens && !options.typed("min_length"))) s.min_length = 0;
  if (options.typed("min_length") && !options.typed("min_new_tokens")) s.min_new_tokens = 0;
  s.eos_token_ids = stored.eos_token_ids;
  if (!stored.unread.empty())
    flags.notes.push_back(fmt::format("warning: {}: not supported: {}", source, fmt::join(stored.unread, ", ")));
  detail::settle_sequences(options, stored, flags, source);
}

/// Opens a checkpoint's tokenizer and completes the flags with its generation_config.json and end-of-text tokens.
/// Throws an Error if the checkpoint is not a language model or the tokenizer does not fit it.
inline Tokenizer load_generation_settings(const Options& options, const ConfigFile& config, GenerateFlags& flags) {
  if (config.architecture != architectures[0])
    throw Error("{}: the model is a {}; text generation needs a {}", flags.model_path.string(), config.architecture,
                architectures[0]);
  require_library_layers(config.config, flags.model_path.string());
  flags.notes.insert(flags.notes.end(), config.notes.begin(), config.notes.end());
  GenerationConfigFile stored;
  const char* source = "generation_config.json";
  if (std::filesystem::exists(flags.model_path / source)) {
    stored = read_generation_config(flags.model_path);
  } else {
    source = "config.json";
    stored = generation_options_in(config, (flags.model_path / source).string());
    if (!stored.json.empty()) {
      std::vector<std::string> names;
      for (const auto& item : stored.json.items()) names.push_back(item.key());
      flags.notes.push_back(
          fmt::format("config.json: its generation settings apply, as there is no "
                      "generation_config.json: {}",
                      fmt::join(names, ", ")));
    }
  }
  merge_generation_config(options, stored, flags, source);
  if (!flags.tokenizer_path && !TokenizerFiles::is_in(flags.model_path))
    throw Error("{}: the folder has no tokenizer: give --tokenizer_path", flags.model_path.string());
  const std::filesystem::path tokenizer_path = flags.tokenizer_path.value_or(flags.model_path);
  Tokenizer tokenizer = open_tokenizer(tokenizer_path, flags.tokenizer);
  if (tokenizer.vocab_size() > config.config.vocab_size)
    throw Error("{}: the tokenizer has {} tokens, but the model's vocab_size is {}: use the model's own tokenizer",
                tokenizer_path.string(), tokenizer.vocab_size(), config.config.vocab_size);
  std::vector<int>& eos = flags.settings.eos_token_ids;
  if (flags.tokenizer.eos_token || flags.tokenizer.eos_token_id) eos = {*eos_of(tokenizer, flags.tokenizer)};
  if (eos.empty()) eos = config.eos_token_ids;
  std::erase_if(eos, [&](int id) { return id >= config.config.vocab_size; });
  if (eos.empty() && tokenizer.eos_id()) eos = {*tokenizer.eos_id()};
  flags.settings.token_text = token_bytes(tokenizer);
  for (const int id : unused_ids(tokenizer, config.config.vocab_size)) flags.settings.suppress_tokens.push_back(id);
  validate(flags.settings, flags.settings.do_sample);
  TextRules<float>(flags.settings, config.config.vocab_size);  // checks token ids
  return tokenizer;
}

/// Maximum number of new tokens after a prompt of `prompt_tokens` tokens: max_new_tokens, otherwise what max_length
/// leaves. Throws an Error if it leaves no room.
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
