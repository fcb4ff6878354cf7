#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <glob.h>

#include "moderngpt2/core/ascii.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/splits.hpp"
#include "moderngpt2/data/text_format.hpp"

namespace moderngpt2::detail {

/// Files that an input matches: files that it names, and the files of folders by part.
struct InputFiles {
  std::string language;  ///< LANGUAGE of LANGUAGE=INPUT
  std::vector<std::filesystem::path> named;
  std::vector<SplitPaths> folders;
  bool is_glob = false;
};

/// Files and folders that a glob matches. "**" matches folders of any depth.
std::vector<std::filesystem::path> glob_files(const std::string& pattern);

/// Throws Error for a file in an unsupported compression.
void refuse_packing(const std::filesystem::path& path);

/// Throws Error for a folder of files in Arrow's own format.
[[noreturn]] void refuse_arrow(const std::filesystem::path& folder);

/// Throws Error if a folder or one of its subfolders has Arrow files.
void refuse_arrow_inside(const std::filesystem::path& folder);

/// Appends the files of a folder and its subfolders that have a known format. Hidden files are left out.
void add_folder(const std::filesystem::path& folder, std::vector<std::filesystem::path>& paths);

/// Finds the files of an input: a file, glob or folder, or LANGUAGE= and one of these. Throws Error if there are none.
InputFiles find_input(std::string input);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

MODERNGPT2_INLINE void refuse_packing(const std::filesystem::path& path) {
  constexpr std::array<std::pair<const char*, const char*>, 6> packings{{{".bz2", "bunzip2"},
                                                                         {".xz", "unxz"},
                                                                         {".lz4", "unlz4"},
                                                                         {".zip", "unzip"},
                                                                         {".7z", "7z x"},
                                                                         {".br", "brotli -d"}}};
  for (const auto& [suffix, program] : packings) {
    if (!lower_case(path.filename().string()).ends_with(suffix)) continue;
    std::filesystem::path text = path;
    if (text_format(text.replace_extension()).content != TextFormat::Content::unknown)
      throw Error("{}: unsupported compression (supported: .gz, .zst). Decompress the file with {}.", path.string(),
                  program);
  }
}

MODERNGPT2_INLINE void refuse_arrow(const std::filesystem::path& folder) {
  const bool has_parts = std::filesystem::exists(folder / "dataset_dict.json");
  throw Error(
      "{0}: Arrow files of save_to_disk() are not supported. Convert them to Parquet in Python: from datasets import "
      "load_from_disk; {1}",
      folder.string(),
      has_parts ? fmt::format("[part.to_parquet(f'{{name}}.parquet') for name, part in load_from_disk('{}').items()]",
                              folder.string())
                : fmt::format("load_from_disk('{}').to_parquet('train.parquet')", folder.string()));
}

MODERNGPT2_INLINE void refuse_arrow_inside(const std::filesystem::path& folder) {
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (at->path().extension() == ".arrow") refuse_arrow(folder);
}

MODERNGPT2_INLINE std::vector<std::filesystem::path> glob_files(const std::string& pattern) {
  std::vector<std::filesystem::path> paths;
  const std::size_t stars = pattern.find("**");
  if (stars != pattern.npos) {
    // "a/**/b" is "a/b", "a/X/b", "a/X/Y/b", ... for all folders X, Y.
    const std::string before = pattern.substr(0, stars);
    std::string after = pattern.substr(stars + 2);
    if (after.starts_with('/'))
      after.erase(0, 1);
    else
      after.insert(0, 1, '*');
    std::vector<std::filesystem::path> folders{"."};
    if (!before.empty()) folders = glob_files(before);
    for (const std::filesystem::path& top : folders) {
      std::error_code error;
      std::vector<std::filesystem::path> all{before.empty() ? std::filesystem::path() : top};
      for (std::filesystem::recursive_directory_iterator at(top, error), end; !error && at != end;
           at.increment(error)) {
        if (!at->is_directory(error)) continue;
        if (at->path().filename().string().starts_with("."))
          at.disable_recursion_pending();
        else
          all.push_back(before.empty() ? at->path().lexically_relative(".") : at->path());
      }
      for (const std::filesystem::path& folder : all) {
        std::string escaped;
        for (const char c : folder.empty() ? std::string() : (folder / "").string()) {
          if (std::string_view("*?[]{}\\~").find(c) != std::string_view::npos) escaped += '\\';
          escaped += c;
        }
        for (std::filesystem::path& path : glob_files(escaped + after))
          if (!std::filesystem::is_directory(path, error)) paths.push_back(std::move(path));
      }
    }
    return paths;
  }
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
    const std::string name = entry->path().filename().string();
    // Files that the Hub and save_to_disk() of the library `datasets` put beside data.
    const bool is_about_data =
        name == "dataset_infos.json" || name == "dataset_info.json" || name == "dataset_dict.json";
    if (name.starts_with(".")) {
      if (entry->is_directory(error)) entry.disable_recursion_pending();
    } else if (text_format(entry->path()).content != TextFormat::Content::unknown && !is_about_data) {
      if (entry->is_regular_file(error)) paths.push_back(entry->path());
      if (error && error != std::errc::no_such_file_or_directory)  // a dangling link
        throw Error("{}: {}", entry->path().string(), error.message());
    } else if (name.ends_with(".arrow")) {
      refuse_arrow(folder);
    } else {
      refuse_packing(entry->path());
    }
    entry.increment(error);
    if (error) throw Error("{}: cannot list the folder: {}", folder.string(), error.message());
  }
}

MODERNGPT2_INLINE InputFiles find_input(std::string input) {
  if (input == "-")
    throw Error(
        "{} -: standard input is not read as text, since files are read more than once: write it to a .txt or .jsonl "
        "file, also with .gz or .zst (./- names a file called -)",
        Setting{"input"});
  InputFiles files;
  std::error_code error;
  const std::size_t equals = input.find('=');
  if (equals >= 2 && equals <= 16 && !std::filesystem::exists(input, error) &&
      std::all_of(input.begin(), input.begin() + std::ptrdiff_t(equals),
                  [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_'; })) {
    files.language = input.substr(0, equals);
    input.erase(0, equals + 1);
  }
  std::vector<std::filesystem::path> matches;
  if (std::filesystem::exists(input, error))
    matches.push_back(input);
  else
    matches = glob_files(input), files.is_glob = true;
  if (matches.empty() && error) throw Error("{}: {}", input, error.message());
  if (matches.empty())
    throw Error("{}: {}", input,
                input.find_first_of("*?[{") == std::string::npos ? "no such file or folder" : "no file matches");
  for (const std::filesystem::path& match : matches) {
    if (!std::filesystem::is_directory(match, error)) {
      files.named.push_back(match);
      continue;
    }
    std::vector<std::filesystem::path> paths;
    add_folder(match, paths);
    if (!paths.empty()) files.folders.push_back(split_paths(match, std::move(paths)));
  }
  if (files.named.empty() && files.folders.empty())
    throw Error("{}: no .json, .jsonl or .txt file (or .gz, .zst of these) and no .parquet in it", input);
  std::sort(files.named.begin(), files.named.end());
  return files;
}

}  // namespace moderngpt2::detail

#endif
