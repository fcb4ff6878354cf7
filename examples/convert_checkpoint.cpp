/// Converts a model to another file format or element type: reads the command line, converts, and compares the outputs
/// of both checkpoints if --verify is given.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/cli/progress.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/core/stop.hpp"
#include "moderngpt2/io/hub_cache.hpp"
#include "moderngpt2/run/checkpoint_comparison.hpp"
#include "moderngpt2/run/conversion.hpp"
#include "moderngpt2/run/memory_size.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#ifdef MODERNGPT2_HAVE_SENTENCEPIECE
#include "moderngpt2/tokenizer/formats/sentencepiece.hpp"  // tokenizer.model
#endif

namespace {

using namespace moderngpt2;

void stop_if_interrupted() {
  if (const int signal = interrupted()) throw ExitRequest{stop_status(signal), ""};
}

/// Converts with a progress line on standard error.
ConversionResult convert(const ConversionRequest& request) {
  std::optional<Progress> progress;
  std::uint64_t written = 0;
  const ConversionResult result = convert_checkpoint(request, [&](std::uint64_t done, std::uint64_t total) {
    stop_if_interrupted();
    if (!progress) progress.emplace("convert", "MB", double(total) / 1e6);
    progress->update(double(done) / 1e6);
    written = done;
  });
  if (progress) progress->finish(double(written) / 1e6);
  return result;
}

/// Ids of the comparison text, or a fixed sequence without a tokenizer that fits the model.
std::vector<int> comparison_ids(const std::filesystem::path& path, const Config& config, std::string& source) {
  constexpr std::size_t maximum = 64;
  const std::size_t limit = std::min(maximum, std::size_t(config.n_positions));
  try {
    const bool is_folder = std::filesystem::is_directory(path);
    const Tokenizer tokenizer = Tokenizer::load(is_folder || is_gguf(path) ? path : path.parent_path() / ".");
    std::vector<int> ids = tokenizer.encode(comparison_text);
    ids.resize(std::min(ids.size(), limit));
    source = "of a text";
    if (!ids.empty() && *std::max_element(ids.begin(), ids.end()) < config.vocab_size) return ids;
  } catch (const Error&) {
  }
  std::vector<int> ids(limit);
  for (std::size_t i = 0; i < limit; ++i) ids[i] = int((7919 * i + 13) % std::size_t(config.vocab_size));
  source = "without a tokenizer";
  return ids;
}

/// Compares input and output. Returns the exit status.
int verify(const ConversionRequest& request, const ConversionResult& result, int threads) {
  stop_if_interrupted();
  std::string source;
  const std::vector<int> ids = comparison_ids(request.input, read_config(request.input).config, source);
  const std::vector<float> expected = checkpoint_outputs(request.input, ids, threads);
  stop_if_interrupted();
  const std::vector<float> found = checkpoint_outputs(request.output, ids, threads);
  const OutputComparison compared =
      compare_outputs(expected, found, ids.size(), result.rounds_weights ? result.dtype : GgufDtype::f32);
  fmt::print("{}: {} tokens {}, maximum difference of logits {:.3g}, relative difference {:.3g} (limit {:.3g})\n",
             compared.passes() ? "verified" : "NOT EQUAL", compared.tokens, source, compared.maximum, compared.relative,
             compared.limit);
  if (compared.passes()) return 0;
  fmt::print(stderr, "convert_checkpoint: error: the outputs of {} differ from those of {} by more than {} allows\n",
             request.output.string(), request.input.string(), detail::gguf_dtype_entry(result.dtype).name);
  return 1;
}

int program(int argc, char** argv) {
  ConversionRequest request;
  std::string max_shard_size = "5GB";
  bool compare = false;
  int threads = available_threads();
  std::optional<GgufDtype>& dtype = request.dtype;

  Options options("convert_checkpoint",
                  "Converts a model between the formats of this library, of Transformers and vLLM (gemma2) and of "
                  "llama.cpp (gguf), or to another element type. Tokenizer and chat template are carried along. The "
                  "output appears complete or not at all.");
  options.add("input", request.input, "Model: a folder with config.json, or a .gguf or .safetensors file.")
      .required()
      .metavar("PATH");
  options.add("output", request.output, "New or empty folder; for gguf, a new file.").required().metavar("PATH");
  options.add("format", request.format, "Format to write.")
      .default_text("gguf for an output named *.gguf, otherwise the input's");
  options
      .add_choice(
          "dtype", dtype,
          {{"f32", GgufDtype::f32},
           {"f16", GgufDtype::f16},
           {"bf16", GgufDtype::bf16},
           {"q8_0", GgufDtype::q8_0},
           {"q4_0", GgufDtype::q4_0}},
          "Element type of the weights. q8_0 and q4_0 are for gguf. A value that overflows the type is an error.")
      .default_text("as stored");
  options
      .add("max_shard_size", max_shard_size,
           "Maximum size of a file of weights, such as 5GB, 500MiB or a number of bytes. A larger model is split and "
           "gets an "
           "index.")
      .metavar("SIZE");
  options.add("verify", compare, "Load both models in fp32, one after the other, and compare their logits for a text.");
  options.add("threads", threads, "CPU threads of --verify.").at_least(1).default_text("all cores");
  options.example("--input output --output for_transformers --format gemma2",
                  "Make a model that stock Transformers and vLLM load");
  options.example("--input output --output model.gguf --dtype q8_0 --verify", "Make a model for llama.cpp");
  options.example("--input gemma-2-2b --output gemma --format moderngpt2 --dtype f32", "Import a Gemma 2 model");
  options.exit_status("1", "an error, nothing was written; or --verify found a difference, and the output is kept");
  options.exit_status(signal_statuses(), "stopped by " + signal_names());
  options.parse(argc, argv);
  request.input = local_model(request.input);
  request.max_shard_bytes = detail::parse_bytes("max_shard_size", max_shard_size, 1);

  catch_interrupts("convert_checkpoint: {}: stopping and removing the unfinished output\n");
  const ConversionResult result = convert(request);
  for (const std::string& note : result.notes) fmt::print(stderr, "note: {}\n", printable(note));
  fmt::print("{}: {} to {}, {}, {} files, {} bytes\n", request.output.string(), format_name(result.from),
             format_name(result.to), detail::gguf_dtype_entry(result.dtype).name, result.files.size(),
             with_separators(std::int64_t(result.bytes())));
  return compare ? verify(request, result, threads) : 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
