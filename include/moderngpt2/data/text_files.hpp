#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <glob.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"

namespace moderngpt2 {

/// Format of a text file according to its name.
struct TextFormat {
  enum class Content { unknown, json_lines, text, parquet };
  enum class Packing { none, gzip, zstd };
  Content content = Content::unknown;
  Packing packing = Packing::none;
};

/// Text file and its language according to its name, "text" by default.
struct TextFile {
  std::filesystem::path path;
  TextFormat format;
  std::string language;
  std::int64_t bytes = 0;
};

/// Format according to the name's suffix: .json, .jsonl or .txt, optionally followed by .gz or .zst; or .parquet.
TextFormat text_format(const std::filesystem::path& path);

/// Language of a file: two letters in its name after '-' or '_' and before '-', '_' or '.', as in
/// c4-ja.00000-of-01024.json.gz, or the name of its folder, as in en/c4-train.00000-of-01024.json.gz; otherwise "text".
std::string language_of(const std::filesystem::path& path);

namespace detail {

std::vector<std::filesystem::path> glob_files(const std::string& pattern);

void add_folder(const std::filesystem::path& folder, std::vector<std::filesystem::path>& paths);

}  // namespace detail

/// Files that `inputs` (files, globs, folders searched recursively) match, without duplicates: in the order of the
/// inputs, files of a glob or folder sorted by name. Throws Error for an input that matches nothing or a file of
/// unknown format.
std::vector<TextFile> find_text_files(const std::vector<std::string>& inputs);

/// Summary such as "3 files of text, 1.2 MB, of en, ja".
std::string files_text(const std::vector<TextFile>& files);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE TextFormat text_format(const std::filesystem::path& path) {
  TextFormat format;
  std::string name = path.filename().string();
  if (name.ends_with(".gz"))
    format.packing = TextFormat::Packing::gzip, name.resize(name.size() - 3);
  else if (name.ends_with(".zst"))
    format.packing = TextFormat::Packing::zstd, name.resize(name.size() - 4);
  if (name.ends_with(".json") || name.ends_with(".jsonl"))
    format.content = TextFormat::Content::json_lines;
  else if (name.ends_with(".txt"))
    format.content = TextFormat::Content::text;
  else if (name.ends_with(".parquet") && format.packing == TextFormat::Packing::none)
    format.content = TextFormat::Content::parquet;
  return format;
}

MODERNGPT2_INLINE std::string language_of(const std::filesystem::path& path) {
  constexpr std::array<std::string_view, 31> languages{"ar", "cn", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr",
                                                       "he", "hi", "hu", "id", "it", "ja", "ko", "nl", "no", "pl", "pt",
                                                       "ro", "ru", "sv", "th", "tr", "tw", "uk", "vi", "zh"};
  const auto known = [&](std::string_view word) {
    return std::find(languages.begin(), languages.end(), word) != languages.end();
  };
  const std::string name = path.filename().string();
  for (std::size_t i = 0; i + 3 < name.size(); ++i) {
    const bool before = name[i] == '-' || name[i] == '_';
    const bool after = name[i + 3] == '-' || name[i + 3] == '_' || name[i + 3] == '.';
    if (before && after && known(std::string_view(name).substr(i + 1, 2))) return name.substr(i + 1, 2);
  }
  const std::string folder = path.parent_path().filename().string();
  return known(folder) ? folder : "text";
}

}  // namespace moderngpt2

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::vector<std::filesystem::path> glob_files(const std::string& pattern) {
  std::vector<std::filesystem::path> paths;
  glob_t found{};
  if (glob(pattern.c_str(), GLOB_BRACE | GLOB_TILDE, nullptr, &found) == 0)
    paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  return paths;
}

MODERNGPT2_INLINE void add_folder(const std::filesystem::path& folder, std::vector<std::filesystem::path>& paths) {
  std::error_code error;
  std::filesystem::recursive_directory_iterator entry(folder, error), end;
  if (error) throw Error("{}: cannot list the folder: {}", folder.string(), error.message());
  while (entry != end) {
    if (entry->path().filename().string().starts_with(".")) {
      if (entry->is_directory(error)) entry.disable_recursion_pending();
    } else if (text_format(entry->path()).content != TextFormat::Content::unknown) {
      if (entry->is_regular_file(error)) paths.push_back(entry->path());
      if (error && error != std::errc::no_such_file_or_directory)  // a dangling link
        throw Error("{}: {}", entry->path().string(), error.message());
    }
    entry.increment(error);
    if (error) throw Error("{}: cannot list the folder: {}", folder.string(), error.message());
  }
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE std::vector<TextFile> find_text_files(const std::vector<std::string>& inputs) {
  std::vector<TextFile> files;
  std::set<std::filesystem::path> seen;
  for (const std::string& input : inputs) {
    if (input == "-")
      throw Error(
          "{} -: standard input is not read as text, since files are read more than once: write it to a .txt or .jsonl "
          "file, also with .gz or .zst (./- names a file called -)",
          Setting{"input"});
    std::error_code error;
    std::vector<std::filesystem::path> matches;
    if (std::filesystem::exists(input, error))
      matches.push_back(input);
    else
      matches = detail::glob_files(input);
    if (matches.empty() && error) throw Error("{}: {}", input, error.message());
    if (matches.empty())
      throw Error("{}: {}", input,
                  input.find_first_of("*?[{") == std::string::npos ? "no such file or folder" : "no file matches");
    std::vector<std::filesystem::path> paths;
    for (const std::filesystem::path& match : matches) {
      if (std::filesystem::is_directory(match, error))
        detail::add_folder(match, paths);
      else
        paths.push_back(match);
    }
    if (paths.empty())
      throw Error("{}: no .json, .jsonl or .txt file (or .gz, .zst of these) and no .parquet in it", input);
    std::sort(paths.begin(), paths.end());
    for (const std::filesystem::path& path : paths) {
      const TextFormat format = text_format(path);
      if (format.content == TextFormat::Content::unknown)
        throw Error("{}: unknown format; text is read from .json, .jsonl and .txt, also with .gz or .zst, and .parquet",
                    path.string());
      if (!seen.insert(std::filesystem::weakly_canonical(path, error)).second) continue;
      const std::uintmax_t bytes = std::filesystem::file_size(path, error);
      files.push_back({path, format, language_of(path), error ? 0 : static_cast<std::int64_t>(bytes)});
    }
  }
  if (files.empty()) throw Error("no input file given");
  return files;
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
