#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
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
#include "moderngpt2/cli/training_flags.hpp"
#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/core/printable.hpp"
#include "moderngpt2/core/quantized_matrix.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/model/dispatch.hpp"

// The modes of `generate` for model type M: chat, one prompt, or a file of prompts.
namespace moderngpt2::generate_program {

inline void write(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  flush_standard_output();
}

inline void note(const std::string& line) { fmt::print(stderr, "generate: {}\n", printable(line)); }

template <class M>
void chat(M& model, const Tokenizer& tokenizer, const GenerateFlags& flags) {
  ChatSettings settings{.markup = chat_markup(flags.chat_format, flags.model_path, tokenizer),
                        .system_prompt = flags.system_prompt,
                        .options = flags.settings,
                        .window = model.config().n_positions};
  if (settings.markup && !settings.markup->note().empty()) note(settings.markup->note());
  if (settings.system_prompt && !settings.markup)
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
  Chat<M>(model, tokenizer, settings, {read, write, note}).run();
}

template <class M>
void complete(M& model, const Tokenizer& tokenizer, const GenerateFlags& flags) {
  const Completions done = stream_completions(model, tokenizer, tokenizer.encode_prompt(*flags.prompt), flags, write);
  if (done.reached_n_positions())
    note(fmt::format("stopped at the model's longest text, n_positions {}", model.config().n_positions));
  if (flags.verbose) note(done.speed());
}

template <class M>
void complete_file(M& model, const Tokenizer& tokenizer, const GenerateFlags& flags,
                   const std::vector<std::string>& prompts) {
  std::vector<std::vector<int>> ids;
  for (const std::string& prompt : prompts) ids.push_back(tokenizer.encode_prompt(prompt));
  if (!flags.output_file) return write_completions(model, tokenizer, prompts, ids, flags, write);
  AtomicFile file(*flags.output_file);
  write_completions(model, tokenizer, prompts, ids, flags, [&](const std::string& line) { file.write(line); });
  file.commit();
}

/// Text such as "weights: 125.6 MiB in q8_0 (470.2 MiB in fp32)".
template <class M>
std::string weight_memory_text(const M& model, WeightFormat format) {
  const auto& weights = model.weights();
  const auto mib = [&](std::uint64_t matrices) {
    return double(matrices + bytes_of_elements<float>(weights.vectors.size())) / (1 << 20);
  };
  return fmt::format("weights: {:.1f} MiB in {} ({:.1f} MiB in fp32)",
                     mib(bytes_of_elements<typename M::MatrixElement>(weights.matrices.size())),
                     weight_format_name(format), mib(bytes_of_elements<float>(weights.matrices.size())));
}

/// Loads the model, and does what the flags ask for. `prompts`: those of --prompts_file.
template <class M>
void run(const Tokenizer& tokenizer, const GenerateFlags& flags, const std::vector<std::string>& prompts,
         typename M::Backend backend) {
  auto model = load_model<M>(flags.model_path, std::move(backend), note);
  if (flags.verbose && flags.weights) note(weight_memory_text(model, *flags.weights));
  catch_interrupts();
  if (flags.interactive)
    chat(model, tokenizer, flags);
  else if (flags.prompts_file)
    complete_file(model, tokenizer, flags, prompts);
  else
    complete(model, tokenizer, flags);
}

/// Runs a model whose matrices are flags.weights. Compiled apart: quantized.cpp.
void run_quantized(const Tokenizer& tokenizer, const GenerateFlags& flags, const std::vector<std::string>& prompts,
                   cpu::Backend backend);

// Compiled apart: bf16.cpp.
extern template void run<CausalLMInBf16>(const Tokenizer&, const GenerateFlags&, const std::vector<std::string>&,
                                         cpu::Backend);

#if defined(MODERNGPT2_HAVE_CUDA) || defined(MODERNGPT2_CUDA_SIMULATED)

/// Generates from `prompts` on GPU number `gpu`. Compiled separately, in gpu.cpp.
void run_on_gpu(const Tokenizer& tokenizer, const GenerateFlags& flags, const std::vector<std::string>& prompts,
                PrecisionName precision, int gpu);
/// Throws UsageError if this program was built without CUDA.
void require_gpu(const GenerateFlags& flags);

#else

inline void run_on_gpu(const Tokenizer&, const GenerateFlags& flags, const std::vector<std::string>&, PrecisionName,
                       int) {
  throw no_cuda(flags.device);
}
inline void require_gpu(const GenerateFlags& flags) { throw no_cuda(flags.device); }

#endif

}  // namespace moderngpt2::generate_program
