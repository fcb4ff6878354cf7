/// Converts a SentencePiece model to Hugging Face's tokenizer files and reports settings for which its ids differ.

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/core/printable.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/tokenizer/export.hpp"
#include "moderngpt2/tokenizer/sentencepiece_model.hpp"
#ifdef MODERNGPT2_HAVE_SENTENCEPIECE
#include "moderngpt2/tokenizer/sentencepiece_comparison.hpp"
#endif

namespace {

using namespace moderngpt2;

/// Compares the written tokenizer with SentencePiece's library, if `differences` is empty and the build has the
/// library. Adds a difference that it finds. Returns the extent of the comparison, for the last line of output.
std::string compare(const std::filesystem::path& folder, const std::string& bytes, const SentencePieceModel& model,
                    std::vector<std::string>& differences) {
  if (!differences.empty()) return "";
#ifdef MODERNGPT2_HAVE_SENTENCEPIECE
  const auto found = compare_with_sentencepiece(Tokenizer::load(folder), bytes, model);
  if (found.different > 0)
    differences.push_back(fmt::format("{} of {} compared texts have other ids, such as {}", found.different,
                                      found.texts, excerpt(found.example)));
  return fmt::format(" (compared on {} texts)", found.texts);
#else
  (void)folder, (void)bytes, (void)model;
  return " (not compared: this program was built without SentencePiece)";
#endif
}

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
  auto differences = sentencepiece_differences(model);
  const std::string compared = compare(output_dir, bytes, model, differences);
  for (const std::string& difference : differences)
    fmt::print(stderr, "warning: ids differ from SentencePiece's: {}\n", printable(difference));
  const bool unigram = model.algorithm == SentencePieceModel::Algorithm::unigram;
  fmt::print("{}: {} tokens, {}\n", output_dir.string(), model.pieces.size(),
             !differences.empty() ? std::string("not exact: see the warnings")
                                  : "same ids as SentencePiece for text without special tokens" +
                                        std::string(unigram ? ", except for ties of scores" : "") + compared);
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
