/// Continues texts with a trained model: reads the command line, opens the checkpoint, and streams the completion,
/// fills a file of prompts, or chats.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/cli/chat.hpp"
#include "moderngpt2/cli/completions.hpp"
#include "moderngpt2/cli/generate_flags.hpp"
#include "moderngpt2/cli/input_lines.hpp"
#include "moderngpt2/cli/interrupt.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/model/heads.hpp"

namespace {

using namespace moderngpt2;
using CausalModel = CausalLM<any_shape>;

void write(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  flush_standard_output();
}

void note(const std::string& line) { fmt::print(stderr, "generate: {}\n", line); }

void chat(CausalModel& model, const Tokenizer& tokenizer, const GenerateFlags& flags) {
  ChatSettings settings{.format = resolve_chat_format(flags.chat_format, flags.model_path, tokenizer),
                        .system_prompt = flags.system_prompt,
                        .options = flags.settings,
                        .window = model.config().n_positions};
  if (settings.system_prompt && settings.format == ChatFormat::plain)
    throw UsageError(
        "--system_prompt needs a chat with headers, and this checkpoint has no chat template: add "
        "--chat_format header");
  if (flags.max_length_given) settings.window = std::min(settings.window, flags.max_length);
  settings.options.max_new_tokens = flags.max_new_tokens.value_or(default_answer_tokens);
  InputLines lines(STDIN_FILENO);
  const bool by_hand = ::isatty(STDIN_FILENO) == 1;
  const auto read = [&] {
    if (by_hand) fmt::print(stderr, "> ");
    std::optional<std::string> line = lines.next();
    if (by_hand && !line) fmt::print(stderr, "\n");
    return line;
  };
  Chat<CausalModel>(model, tokenizer, settings, {read, write, note}).run();
}

void complete(CausalModel& model, const Tokenizer& tokenizer, const GenerateFlags& flags) {
  const Completions done = stream_completions(model, tokenizer, tokenizer.encode_prompt(*flags.prompt), flags, write);
  if (done.reached_n_positions())
    note(fmt::format("stopped at the model's longest text, n_positions {}", model.config().n_positions));
  if (flags.verbose) note(done.speed());
}

void complete_file(CausalModel& model, const Tokenizer& tokenizer, const GenerateFlags& flags,
                   const std::vector<std::string>& prompts) {
  std::vector<std::vector<int>> ids;
  for (const std::string& prompt : prompts) ids.push_back(tokenizer.encode_prompt(prompt));
  if (!flags.output_file) return write_completions(model, tokenizer, prompts, ids, flags, write);
  AtomicFile file(*flags.output_file);
  write_completions(model, tokenizer, prompts, ids, flags, [&](const std::string& line) { file.write(line); });
  file.commit();
}

int program(int argc, char** argv) {
  GenerateFlags flags;
  flags.verbose = ::isatty(STDERR_FILENO) == 1;
  Options options("generate",
                  "Continues a text with a trained model. The checkpoint's generation_config.json is heeded "
                  "where a flag is not typed.");
  add_generate_flags(options, flags);
  options.example("--model_path model --prompt 'Once there was' --temperature 0.7 --seed 3", "A story");
  options.example("--model_path model --prompts_file prompts.txt --output_file completions.jsonl --no_do_sample",
                  "The likeliest continuation of each line");
  options.example(
      "--model_path model --prompt 'Once there was' --num_beams 4 --num_return_sequences 2 --max_new_tokens 40",
      "The best two of a beam search");
  options.example("--model_path chat_model --interactive --no_do_sample", "A chat");
  options.exit_status("130, 143", "stopped by Ctrl-C or SIGTERM");
  options.parse(argc, argv);
  check_generate_flags(options, flags);
  const bool from_input = !flags.prompt && !flags.prompts_file && !flags.interactive;
  if (from_input && ::isatty(STDIN_FILENO) == 1)
    throw UsageError("--prompt is needed, or a text on standard input, --prompts_file or --interactive");

  const ConfigFile config = read_config(flags.model_path);
  const Tokenizer tokenizer = load_generation_settings(options, config, flags);
  std::vector<std::string> prompts;
  if (flags.prompts_file) prompts = read_prompts(*flags.prompts_file);
  if (from_input) {
    flags.prompt.emplace(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
    if (flags.prompt->ends_with('\n')) flags.prompt->pop_back();
  }
  auto model = load_model<CausalModel>(flags.model_path, cpu::Backend(flags.threads));
  catch_interrupts();
  if (flags.interactive)
    chat(model, tokenizer, flags);
  else if (flags.prompts_file)
    complete_file(model, tokenizer, flags, prompts);
  else
    complete(model, tokenizer, flags);
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
