#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/separate_compilation.hpp"

namespace moderngpt2 {

/// Part of a data set.
enum class DataSplit { unnamed, train, validation, test };

/// Returns the part to which a file belongs by its path relative to the data set's folder. Names of folders come first,
/// from the outermost on, then the file's name. As in the library `datasets`, the part is a word of the name (train,
/// training; validation, valid, dev, val; test, testing, eval, evaluation) between "-", ".", "_", spaces and digits, in
/// any letter case. A name with words of several parts is not of the training set.
DataSplit split_of(const std::filesystem::path& relative);

/// Files of a folder by the part to which they belong.
struct SplitPaths {
  std::filesystem::path folder;
  std::vector<std::filesystem::path> train, validation, test;
  std::vector<std::filesystem::path> unused;  ///< names without a part, in a folder that has training files by name

  /// Files of an evaluation set: validation files, otherwise test files, otherwise all.
  const std::vector<std::filesystem::path>& evaluation() const {
    return !validation.empty() ? validation : !test.empty() ? test : train;
  }
};

/// Sorts the files of a folder by their parts. If none is a training file by its name, the files without a part are the
/// training set.
SplitPaths split_paths(const std::filesystem::path& folder, std::vector<std::filesystem::path> paths);

/// Returns one line for each part that is not used for training. `evaluates`: whether validation files are evaluated.
std::vector<std::string> split_notes(const SplitPaths& paths, bool evaluates);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

/// Part of a data set by the words of a single name.
inline DataSplit split_of_name(std::string name) {
  constexpr std::string_view separators = "-._ 0123456789";
  constexpr std::array<std::pair<std::string_view, DataSplit>, 10> keywords{{{"train", DataSplit::train},
                                                                             {"training", DataSplit::train},
                                                                             {"validation", DataSplit::validation},
                                                                             {"valid", DataSplit::validation},
                                                                             {"dev", DataSplit::validation},
                                                                             {"val", DataSplit::validation},
                                                                             {"test", DataSplit::test},
                                                                             {"testing", DataSplit::test},
                                                                             {"eval", DataSplit::test},
                                                                             {"evaluation", DataSplit::test}}};
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  DataSplit found = DataSplit::unnamed;
  for (std::size_t begin = 0; begin < name.size();) {
    const std::size_t end = std::min(name.find_first_of(separators, begin), name.size());
    for (const auto& [word, split] : keywords)
      if (name.compare(begin, end - begin, word) == 0 && (found == DataSplit::unnamed || found == DataSplit::train))
        found = split;
    begin = end + 1;
  }
  return found;
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE DataSplit split_of(const std::filesystem::path& relative) {
  for (const std::filesystem::path& name : relative)
    if (const DataSplit split = detail::split_of_name(name.string()); split != DataSplit::unnamed) return split;
  return DataSplit::unnamed;
}

MODERNGPT2_INLINE SplitPaths split_paths(const std::filesystem::path& folder,
                                         std::vector<std::filesystem::path> paths) {
  SplitPaths parts{folder, {}, {}, {}, {}};
  std::sort(paths.begin(), paths.end());
  for (std::filesystem::path& path : paths) {
    const DataSplit split = split_of(path.lexically_relative(folder));
    auto& part = split == DataSplit::train        ? parts.train
                 : split == DataSplit::validation ? parts.validation
                 : split == DataSplit::test       ? parts.test
                                                  : parts.unused;
    part.push_back(std::move(path));
  }
  if (parts.train.empty()) parts.train.swap(parts.unused);
  return parts;
}

MODERNGPT2_INLINE std::vector<std::string> split_notes(const SplitPaths& paths, bool evaluates) {
  std::vector<std::string> lines;
  const auto add = [&](const std::vector<std::filesystem::path>& files, const char* which, const char* use) {
    if (files.empty()) return;
    lines.push_back(fmt::format("{}: {} {}{} {} ({}{})", paths.folder.string(), files.size(),
                                files.size() == 1 ? "file" : "files", which, use, files[0].filename().string(),
                                files.size() > 1 ? ", ..." : ""));
  };
  add(paths.validation, " of a validation set:", evaluates ? "evaluated, not trained on" : "not used");
  add(paths.test, " of a test set:", "not used");
  add(paths.unused, " without 'train' in the name, unlike others:", "not used");
  return lines;
}

}  // namespace moderngpt2

#endif
