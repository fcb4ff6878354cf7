/// Completes prompts with a trained model: reads the command line, opens the checkpoint, then streams one completion,
/// completes a file of prompts, or chats.

#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <unistd.h>
#include <vector>

#include "generate/modes.hpp"
#include "moderngpt2/cli/generate_flags.hpp"
#include "moderngpt2/cli/input_text.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/cli/threads.hpp"
#include "moderngpt2/io/hub_cache.hpp"
#ifdef MODERNGPT2_HAVE_SENTENCEPIECE
#include "moderngpt2/tokenizer/formats/sentencepiece.hpp"  // tokenizer.model
#endif

namespace {

using namespace moderngpt2;

int program(int argc, char** argv) {
  GenerateFlags flags;
  flags.verbose = ::isatty(STDERR_FILENO) == 1;
  Options options("generate",
                  "Completes a prompt with a trained model. Flags override the checkpoint's generation_config.json.");
  add_generate_flags(options, flags);
  options.example("--model_path model --prompt 'Once there was' --temperature 0.7 --seed 3", "Sample a story");
  options.example("--model_path model --prompts_file prompts.txt --output_file completions.jsonl --no_do_sample",
                  "Complete each line by greedy decoding");
  options.example(
      "--model_path model --prompt 'Once there was' --num_beams 4 --num_return_sequences 2 --max_new_tokens 40",
      "Print the best two of four beams");
  options.example("--model_path chat_model --interactive --no_do_sample", "Chat");
  options.exit_status(signal_statuses(), "stopped by " + signal_names());
  options.parse(argc, argv);
  check_generate_flags(options, flags);
  const bool from_input = !flags.prompt && !flags.prompts_file && !flags.interactive;
  if (from_input && ::isatty(STDIN_FILENO) == 1)
    throw UsageError("--prompt is needed, or a text on standard input, --prompts_file or --interactive");

  const PrecisionName precision = precision_of(options, flags.precision);
  const std::optional<int> gpu = gpu_number(flags.device);
  if (gpu) generate_program::require_gpu(flags);
  if (!gpu && needs_gpu(precision)) throw unsupported_precision(precision);
  if (!gpu && precision == PrecisionName::bf16 && !cpu::has_bf16_products())
    generate_program::note(cpu::slow_bf16_note);
  const std::string missing =
      thread_shortage_message(options.typed("threads") ? std::optional(flags.threads) : std::nullopt);
  if (!gpu && !missing.empty()) generate_program::note(missing);

  flags.model_path = local_model(flags.model_path);
  if (flags.tokenizer_path) flags.tokenizer_path = local_model(*flags.tokenizer_path);
  const ConfigFile config = read_config(flags.model_path);
  const Tokenizer tokenizer = load_generation_settings(options, config, flags);
  for (const std::string& line : flags.notes) generate_program::note(line);
  std::vector<std::string> prompts;
  if (flags.prompts_file) prompts = read_prompts(*flags.prompts_file);
  if (from_input) {
    const std::string text(std::istreambuf_iterator<char>(std::cin), {});
    flags.prompt = prompt_of_input(text);
  }
  if (gpu)
    generate_program::run_on_gpu(tokenizer, flags, prompts, precision, *gpu);
  else if (flags.weights)
    generate_program::run_quantized(tokenizer, flags, prompts, cpu::Backend(flags.threads));
  else if (precision == PrecisionName::bf16)
    generate_program::run<CausalLMInBf16>(tokenizer, flags, prompts, cpu::Backend(flags.threads));
  else
    generate_program::run<CausalLM<any_shape>>(tokenizer, flags, prompts, cpu::Backend(flags.threads));
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
