/// Converts a tokenizer of another format to Hugging Face's tokenizer files and reports texts whose ids differ.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/core/printable.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/tokenizer_files.hpp"
#include "moderngpt2/run/tokenizer_choice.hpp"
#include "moderngpt2/tokenizer/comparison_texts.hpp"
#include "moderngpt2/tokenizer/convert.hpp"
#include "moderngpt2/tokenizer/export.hpp"
#include "moderngpt2/tokenizer/sentencepiece_model.hpp"
#ifdef MODERNGPT2_HAVE_SENTENCEPIECE
#include "moderngpt2/tokenizer/formats/sentencepiece.hpp"  // tokenizer.model
#include "moderngpt2/tokenizer/sentencepiece_comparison.hpp"
#endif

namespace {

using namespace moderngpt2;

/// Result of a conversion: the files, and what is known about them.
struct Converted {
  TokenizerFileList files;
  std::vector<std::string> differences;  ///< lines for standard error; empty: the ids are equal
  std::string summary;                   ///< end of the line on standard output
};

void add_difference(const TokenizerComparison& found, Converted& converted) {
  if (found.different > 0)
    converted.differences.insert(converted.differences.begin(),
                                 fmt::format("{} of {} compared texts have other ids, such as {}", found.different,
                                             found.texts, excerpt(found.example)));
}

Converted convert_sentencepiece(const std::string& bytes, const std::string& where, std::int64_t model_max_length) {
  const SentencePieceModel model = parse_sentencepiece_model(bytes, where);
  Converted converted;
  converted.files = sentencepiece_tokenizer_files(bytes, where, model_max_length);
  converted.differences = sentencepiece_differences(model);
  std::string compared = " (not compared: this program was built without SentencePiece)";
#ifdef MODERNGPT2_HAVE_SENTENCEPIECE
  const Tokenizer made = Tokenizer::parse(converted.files.back().second, where);
  const TokenizerComparison found = compare_with_sentencepiece(made, bytes, model);
  if (found.different == 0) converted.differences.clear();  // properties that change none of the texts
  add_difference(found, converted);
  compared = fmt::format(" (compared on {} texts{})", found.texts,
                         found.ties > 0 ? fmt::format(", {} ties", found.ties) : std::string());
#endif
  const bool unigram = model.algorithm == SentencePieceModel::Algorithm::unigram;
  const bool user_defined = std::any_of(model.pieces.begin(), model.pieces.end(), [](const auto& piece) {
    return piece.type == SentencePieceModel::Type::user_defined;
  });
  converted.summary =
      fmt::format("{} tokens, same ids as SentencePiece for text without special tokens{}{}{}", model.pieces.size(),
                  model.add_dummy_prefix && user_defined ? " that is not a user-defined piece alone" : "",
                  unigram ? ", except for ties of scores" : "", compared);
  return converted;
}

Converted convert_other(const std::filesystem::path& path, const TokenizerChoice& choice,
                        std::int64_t model_max_length) {
  const Tokenizer source = open_tokenizer(path, choice);
  for (const std::string& note : source.notes()) fmt::print(stderr, "note: {}\n", printable(note));
  Converted converted;
  converted.files = converted_tokenizer_files(source, path, choice.pattern.value_or(""), model_max_length);
  const Tokenizer made = Tokenizer::parse(converted.files.back().second, path.string());
  const TokenizerComparison found = compare_tokenizers(source, made);
  add_difference(found, converted);
  converted.summary =
      fmt::format("{} ids, same ids as {} (compared on {} texts)", made.vocab_size(), path.string(), found.texts);
  return converted;
}

int program(int argc, char** argv) {
  std::optional<std::filesystem::path> spm_model, tokenizer_path;
  std::filesystem::path output_dir;
  TokenizerChoice choice;
  std::int64_t model_max_length = unlimited_model_length;
  bool inexact = false;

  Options options("convert_tokenizer",
                  "Converts a tokenizer of another format to tokenizer.json and its companion files, for Hugging Face "
                  "tokenizers and Transformers. Compares the ids on thousands of texts before anything is written.");
  options.add("spm_model", spm_model, "SentencePiece model (BPE or unigram), usually tokenizer.model.").metavar("FILE");
  options
      .add("tokenizer_path", tokenizer_path,
           "Tokenizer of any other format: a folder, a .tiktoken file, tekken.json, vocab.json (with merges.txt beside "
           "it) or vocab.txt.")
      .metavar("PATH");
  options.add("tokenizer_pattern", choice.pattern, tokenizer_pattern_help).metavar("NAME|REGEX");
  options.add("output_dir", output_dir, "Output folder.").required().metavar("DIR");
  options.add("model_max_length", model_max_length, "Maximum sequence length of the model that uses the tokenizer.")
      .at_least(1);
  options.add("inexact", inexact, "Write the files even if some texts get other ids.");
  options.example("--spm_model downloaded/tokenizer.model --output_dir my_tokenizer",
                  "Convert the SentencePiece model of another model");
  options.example("--tokenizer_path cl100k_base.tiktoken --output_dir my_tokenizer", "Convert a file of ranks");
  options.exit_status("1", "some texts get other ids and --inexact is not given, or an error; nothing was written");
  options.parse(argc, argv);
  if (spm_model.has_value() == tokenizer_path.has_value())
    throw UsageError("give one of --spm_model and --tokenizer_path");

  std::optional<std::string> model_bytes;
  if (spm_model) model_bytes = read_file(*spm_model);
  if (tokenizer_path && std::filesystem::exists(*tokenizer_path))
    model_bytes = sentencepiece_model_of(TokenizerFiles::read(*tokenizer_path));
  const Converted converted =
      model_bytes
          ? convert_sentencepiece(*model_bytes, (spm_model ? *spm_model : *tokenizer_path).string(), model_max_length)
          : convert_other(*tokenizer_path, choice, model_max_length);
  for (const std::string& difference : converted.differences)
    fmt::print(stderr, "warning: ids differ: {}\n", printable(difference));
  if (!converted.differences.empty() && !inexact) {
    fmt::print(stderr, "convert_tokenizer: nothing was written: --inexact writes the files all the same\n");
    return 1;
  }
  write_files_together(output_dir, converted.files);
  fmt::print("{}: {}\n", output_dir.string(),
             converted.differences.empty() ? converted.summary : "not exact: see the warnings");
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
