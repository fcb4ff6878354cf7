#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/folder.hpp"

// Models in the cache of the Hugging Face Hub: models--ORG--NAME/snapshots/REVISION, and the revision of a branch in
// models--ORG--NAME/refs/BRANCH (https://huggingface.co/docs/huggingface_hub/guides/manage-cache).
namespace moderngpt2 {

/// Returns the folder with the files of a model or tokenizer that `path` names: `path` itself, or the snapshot of
/// refs/main if it is a repository of the cache (models--ORG--NAME) or its snapshots folder. Throws an Error that says
/// which path to give if there is no such snapshot, if `path` is the whole cache, and if it is a name of the Hub.
std::filesystem::path local_model(const std::filesystem::path& path);

namespace detail {

/// Snapshot of a repository of the cache: that of refs/main, otherwise the only one.
std::filesystem::path main_snapshot(const std::filesystem::path& repository);

/// Whether a path has the form of a name of the Hub, ORG/NAME, and not of a file's.
bool is_hub_name(std::string_view path);

/// Folder of a repository in the cache of this user, by Hugging Face's environment variables; empty if it has none.
std::optional<std::filesystem::path> cached_repository(std::string_view name);

}  // namespace detail

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::filesystem::path main_snapshot(const std::filesystem::path& repository) {
  namespace fs = std::filesystem;
  const fs::path snapshots = repository / "snapshots", main = repository / "refs" / "main";
  std::vector<std::string> found;
  std::error_code error;
  for (const fs::path& entry : folder_entries(snapshots))
    if (fs::is_directory(entry, error)) found.push_back(entry.filename().string());
  std::sort(found.begin(), found.end());
  if (found.empty()) throw Error("{}: has no model files: download it again", snapshots.string());
  const std::string given = "Give one of its snapshots, such as " + (snapshots / found.front()).string() + ".";
  if (!fs::exists(fs::symlink_status(main, error))) {
    if (found.size() == 1) return snapshots / found.front();
    throw Error("{}: {} snapshots, and no refs/main that selects one. {}", repository.string(), found.size(), given);
  }
  std::string revision = read_file(main, 1000);
  while (!revision.empty() && (revision.back() == '\n' || revision.back() == '\r' || revision.back() == ' '))
    revision.pop_back();
  if (!is_plain_name(revision) || !std::binary_search(found.begin(), found.end(), revision))
    throw Error("{}: the revision {} is not among the snapshots. {}", main.string(), excerpt(revision), given);
  return snapshots / revision;
}

MODERNGPT2_INLINE bool is_hub_name(std::string_view path) {
  const auto is_part = [](std::string_view part) {
    return !part.empty() && part[0] != '.' && part[0] != '-' && part[0] != '~' &&
           std::all_of(part.begin(), part.end(), [](char c) {
             return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                    c == '_' || c == '.';
           });
  };
  for (const char* file : {".json", ".model", ".txt", ".tiktoken", ".safetensors", ".gguf", ".bin", ".pt", ".pth"})
    if (path.ends_with(file)) return false;
  const std::size_t slash = path.find('/');
  return slash != path.npos && is_part(path.substr(0, slash)) && is_part(path.substr(slash + 1));
}

MODERNGPT2_INLINE std::optional<std::filesystem::path> cached_repository(std::string_view name) {
  namespace fs = std::filesystem;
  std::string folder = "models--" + std::string(name);
  folder.replace(folder.find('/'), 1, "--");
  const std::array<std::pair<const char*, const char*>, 5> places{{{"HF_HUB_CACHE", ""},
                                                                   {"HUGGINGFACE_HUB_CACHE", ""},
                                                                   {"HF_HOME", "hub"},
                                                                   {"XDG_CACHE_HOME", "huggingface/hub"},
                                                                   {"HOME", ".cache/huggingface/hub"}}};
  for (const auto& [variable, below] : places) {
    const char* const value = std::getenv(variable);
    if (!value || !*value) continue;
    const fs::path path = fs::path(value) / below / folder;
    std::error_code error;
    if (fs::is_directory(path, error)) return path;
  }
  return std::nullopt;
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE std::filesystem::path local_model(const std::filesystem::path& given) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::is_directory(given, error)) {
    const std::string name = given.string();
    if (fs::exists(fs::symlink_status(given, error)) || !detail::is_hub_name(name)) return given;
    if (const auto cached = detail::cached_repository(name))
      throw Error("{}: no such folder. Names of the Hub are not resolved; the cache has it: give {}", name,
                  cached->string());
    throw Error(
        "{}: no such folder, and names of the Hub are not resolved. Download it with \"hf download {}\" and give the "
        "folder that this prints.",
        name, name);
  }
  const fs::path path = given.has_filename() ? given : given.parent_path();
  if (fs::exists(path / "config.json", error)) return given;
  if (const fs::path parent = fs::absolute(path).parent_path();
      path.filename() == "snapshots" && parent.filename().string().starts_with("models--"))
    return detail::main_snapshot(parent);
  if (fs::is_directory(path / "snapshots", error)) return detail::main_snapshot(path);
  std::vector<std::string> models;
  for (const fs::path& entry : folder_entries(path))
    if (const std::string name = entry.filename().string(); name.starts_with("models--")) models.push_back(name);
  if (models.empty()) return given;
  std::sort(models.begin(), models.end());
  throw Error("{}: is a cache with {} models. Give one of them, such as {}", path.string(), models.size(),
              (path / models.front()).string());
}

}  // namespace moderngpt2

#endif
