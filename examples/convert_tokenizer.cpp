/// Converts a SentencePiece model to Hugging Face's tokenizer files and reports settings for which its ids differ.

#include <cstdio>
#include <filesystem>
#include <string>

#include <fmt/format.h>

#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/tokenizer/export.hpp"
#include "moderngpt2/tokenizer/sentencepiece_model.hpp"

namespace {

using namespace moderngpt2;

int program(int argc, char** argv) {
  std::filesystem::path spm_model, output_dir;
  std::int64_t model_max_length = unlimited_model_length;

  Options options(
      "convert_tokenizer",
      "Converts a SentencePiece model (BPE or unigram) to tokenizer.json and its companion files. Warns about "
      "settings of the model that these cannot express.");
  options.add("spm_model", spm_model, "SentencePiece model, usually tokenizer.model.").required().metavar("FILE");
  options.add("output_dir", output_dir, "Output folder.").required().metavar("DIR");
  options.add("model_max_length", model_max_length, "Maximum sequence length of the model that uses the tokenizer.")
      .at_least(1);
  options.example("--spm_model downloaded/tokenizer.model --output_dir my_tokenizer",
                  "Convert the tokenizer of another model");
  options.parse(argc, argv);

  const std::string bytes = read_file(spm_model);
  const SentencePieceModel model = parse_sentencepiece_model(bytes, spm_model.string());
  write_tokenizer_files(output_dir, bytes, spm_model.string(), model_max_length);
  const auto differences = sentencepiece_differences(model);
  for (const std::string& difference : differences)
    fmt::print(stderr, "warning: other ids than SentencePiece's: {}\n", difference);
  const bool unigram = model.algorithm == SentencePieceModel::Algorithm::unigram;
  fmt::print("{}: {} tokens, {}\n", output_dir.string(), model.pieces.size(),
             !differences.empty() ? "not exact: see the warnings"
             : unigram            ? "with SentencePiece's ids but for ties of scores"
                                  : "with SentencePiece's ids for every text");
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
