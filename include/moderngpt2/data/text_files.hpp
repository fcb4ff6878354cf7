#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/input_files.hpp"
#include "moderngpt2/data/splits.hpp"
#include "moderngpt2/data/text_format.hpp"

namespace moderngpt2 {

/// Text file and its language according to its name, "text" by default.
struct TextFile {
  std::filesystem::path path;
  TextFormat format;
  std::string language;
  std::int64_t bytes = 0;
  bool is_validation = false;  ///< whether it belongs to the validation set of a folder
};

/// Language of a file: a known two-letter code in its name, at the beginning or after '-', '_' or '.', and before '-',
/// '_' or '.' (c4-ja.00000-of-01024.json.gz, ja.txt); otherwise a code that is the name of one of the last `folders`
/// folders of its path, or the last part of such a name (en/c4-train.json.gz, 20231101.ja/train.parquet); otherwise
/// "text".
std::string language_of(const std::filesystem::path& path, int folders = 1);

/// Files of a set of inputs to find.
enum class TextPart {
  train,       ///< named files, and the training files of folders
  validation,  ///< validation files of folders
  evaluation   ///< named files, and of each folder the validation files, otherwise the test files, otherwise all
};

/// Finds the files of a part of `inputs` (files, globs, folders searched recursively), without duplicates, in the order
/// of the inputs; files of a glob or folder are sorted by name. "**" in a glob matches folders of any depth. An input
/// LANGUAGE=INPUT sets the language of its files. See split_of() for the parts of a folder. Throws Error for an input
/// that matches nothing, a file of unknown format, and inputs without training files.
std::vector<TextFile> find_text_files(const std::vector<std::string>& inputs, TextPart part = TextPart::train);

/// Files of `inputs` from which a data set is made: training files, then validation files.
std::vector<TextFile> find_dataset_files(const std::vector<std::string>& inputs);

/// Lines about files of `inputs` that are not used for training, and about globs that match validation or test files.
/// `evaluates`: whether validation files are evaluated.
std::vector<std::string> text_file_notes(const std::vector<std::string>& inputs, bool evaluates);

/// Summary such as "3 files of text, 1.2 MB, of en, ja".
std::string files_text(const std::vector<TextFile>& files);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE std::string language_of(const std::filesystem::path& path, int folders) {
  constexpr std::array<std::string_view, 31> languages{"ar", "cn", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr",
                                                       "he", "hi", "hu", "id", "it", "ja", "ko", "nl", "no", "pl", "pt",
                                                       "ro", "ru", "sv", "th", "tr", "tw", "uk", "vi", "zh"};
  const auto known = [&](std::string_view word) {
    return std::find(languages.begin(), languages.end(), word) != languages.end();
  };
  const std::string name = path.filename().string();
  for (std::size_t i = 0; i + 2 < name.size(); ++i) {
    const bool before = i == 0 || name[i - 1] == '-' || name[i - 1] == '_' || name[i - 1] == '.';
    const bool after = name[i + 2] == '-' || name[i + 2] == '_' || name[i + 2] == '.';
    if (before && after && known(std::string_view(name).substr(i, 2))) return name.substr(i, 2);
  }
  std::filesystem::path folder = path.parent_path();
  for (; folders > 0 && !folder.filename().empty(); --folders, folder = folder.parent_path()) {
    const std::string last = folder.filename().string();
    const std::size_t separator = last.find_last_of("-_.");
    const std::string word = separator == last.npos ? last : last.substr(separator + 1);
    if (known(word)) return word;
  }
  return "text";
}

}  // namespace moderngpt2

namespace moderngpt2 {

MODERNGPT2_INLINE std::vector<TextFile> find_text_files(const std::vector<std::string>& inputs, TextPart part) {
  std::vector<TextFile> files;
  std::set<std::filesystem::path> seen;
  std::string other_part;  // a file that is not trained on
  for (const std::string& input : inputs) {
    const detail::InputFiles found = detail::find_input(input);
    const auto add = [&](const std::filesystem::path& path, int folders) {
      const TextFormat format = text_format(path);
      if (format.content == TextFormat::Content::unknown) {
        detail::refuse_packing(path);
        if (path.extension() == ".arrow") detail::refuse_arrow(path.parent_path());
        throw Error(
            "{}: unknown format; text is read from .json, .jsonl, .ndjson and .txt, also with .gz or .zst, and "
            ".parquet",
            path.string());
      }
      std::error_code error;
      if (!seen.insert(std::filesystem::weakly_canonical(path, error)).second) return;
      const std::uintmax_t bytes = std::filesystem::file_size(path, error);
      files.push_back({path, format, found.language.empty() ? language_of(path, folders) : found.language,
                       error ? 0 : static_cast<std::int64_t>(bytes), part == TextPart::validation});
    };
    if (part != TextPart::validation)
      for (const std::filesystem::path& path : found.named) add(path, 1);
    for (const SplitPaths& folder : found.folders) {
      const auto& paths = part == TextPart::train        ? folder.train
                          : part == TextPart::validation ? folder.validation
                                                         : folder.evaluation();
      for (const std::filesystem::path& path : paths) {
        const std::filesystem::path inside = path.lexically_relative(folder.folder);
        add(path, std::max<int>(1, static_cast<int>(std::distance(inside.begin(), inside.end()))));
      }
      if (folder.train.empty()) other_part = folder.evaluation().front().string();
    }
  }
  if (inputs.empty()) throw Error("no input file given");
  if (files.empty() && part != TextPart::validation)
    throw Error(
        "{}: a validation or test file by its name, and the input has no training files. To train on it, pass the "
        "file, not its folder.",
        other_part);
  return files;
}

MODERNGPT2_INLINE std::vector<TextFile> find_dataset_files(const std::vector<std::string>& inputs) {
  std::vector<TextFile> files = find_text_files(inputs);
  for (TextFile& file : find_text_files(inputs, TextPart::validation)) files.push_back(std::move(file));
  return files;
}

MODERNGPT2_INLINE std::vector<std::string> text_file_notes(const std::vector<std::string>& inputs, bool evaluates) {
  std::vector<std::string> lines;
  for (const std::string& input : inputs) {
    const detail::InputFiles found = detail::find_input(input);
    for (const SplitPaths& folder : found.folders)
      for (std::string& line : split_notes(folder, evaluates)) lines.push_back(std::move(line));
    std::vector<std::filesystem::path> matches = found.named;
    for (const SplitPaths& folder : found.folders)
      if (!folder.train.empty()) matches.push_back(folder.folder);
    // Names below the folder that all matches are in: those above it are the user's choice.
    std::filesystem::path top = matches.empty() ? std::filesystem::path() : matches.front().parent_path();
    const auto inside = [&](const std::filesystem::path& path) {
      const std::filesystem::path below = path.lexically_relative(top);
      return below.empty() ? path.filename() : below;  // braces can mix absolute and relative paths
    };
    for (const std::filesystem::path& path : matches)
      while (top != top.parent_path() && inside(path).string().starts_with("../")) top = top.parent_path();
    const auto other = std::find_if(matches.begin(), matches.end(), [&](const std::filesystem::path& path) {
      const DataSplit split = split_of(inside(path));
      return split == DataSplit::validation || split == DataSplit::test;
    });
    if (found.is_glob && matches.size() > 1 && other != matches.end())
      lines.push_back(
          fmt::format("{}: matches {} of validation or test sets ({}), which are used for training. To leave them out, "
                      "pass their folder",
                      input, std::filesystem::is_directory(*other) ? "folders" : "files", inside(*other).string()));
  }
  return lines;
}

MODERNGPT2_INLINE std::string files_text(const std::vector<TextFile>& files) {
  std::int64_t bytes = 0;
  std::set<std::string> languages;
  for (const TextFile& file : files) {
    bytes += file.bytes;
    if (file.language != "text") languages.insert(file.language);
  }
  return fmt::format("{} {} of text, {:.1f} MB{}{}", files.size(), files.size() == 1 ? "file" : "files",
                     static_cast<double>(bytes) / 1e6, languages.empty() ? "" : ", of ", fmt::join(languages, ", "));
}

}  // namespace moderngpt2

#endif
