#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <string_view>
#include <sys/file.h>
#include <system_error>
#include <unistd.h>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/file.hpp"

namespace moderngpt2 {

/// Whether a text is the name of a file in a folder, not a path: no '/', not "." or "..", no control characters, at
/// most 200 bytes. Names that a file or a flag gives must pass before they become part of a path.
inline bool is_plain_name(std::string_view name) {
  if (name.empty() || name == "." || name == ".." || name.size() > 200) return false;
  return std::none_of(name.begin(), name.end(),
                      [](char c) { return c == '/' || static_cast<unsigned char>(c) < ' ' || c == 0x7f; });
}

/// Creates a folder and its missing parents, and syncs them. Throws Error if that fails.
inline void make_folder(const std::filesystem::path& folder) {
  if (folder.empty()) throw Error("the path of a folder to write is empty");
  std::vector<std::filesystem::path> parents;  // parents of the new folders
  std::error_code error;
  for (std::filesystem::path path = folder; !path.empty() && !std::filesystem::exists(path, error);) {
    const std::filesystem::path parent = path.has_parent_path() ? path.parent_path() : ".";
    if (parent == path) break;
    if (path.has_filename()) parents.push_back(parent);
    path = parent;
  }
  std::filesystem::create_directories(folder, error);
  if (error) throw Error("cannot make the folder {}: {}", folder.string(), error.message());
  for (const std::filesystem::path& parent : parents)
    if (::access(parent.c_str(), R_OK) == 0) sync_folder(parent);  // opening it for fsync needs read permission
}

/// Throws Error if a folder cannot be created or written to. Leaves no files behind.
inline void require_writable(const std::filesystem::path& folder) {
  if (folder.empty()) throw Error("the path of a folder to write is empty");
  std::filesystem::path there = std::filesystem::absolute(folder);
  std::error_code error;
  for (; there.has_relative_path(); there = there.parent_path()) {
    const auto type = std::filesystem::symlink_status(there, error).type();
    if (type == std::filesystem::file_type::none)
      throw Error("cannot write to {}: {}", folder.string(), error.message());
    if (type != std::filesystem::file_type::not_found) break;
  }
  if (!std::filesystem::is_directory(there, error))
    throw Error("cannot write to {}: {} is no folder", folder.string(), there.string());
  try {
    AtomicFile trial(there / "write-test");
  } catch (const Error& failed) {
    throw Error("cannot write to {}: {}", folder.string(), failed.what());
  }
}

/// Opens a folder and takes an advisory lock on it for the lifetime of the result. Returns nullopt if another process
/// holds the lock. On file systems without locks it always succeeds. Throws Error if the folder cannot be opened.
inline std::optional<detail::Descriptor> lock_folder(const std::filesystem::path& folder) {
  detail::Descriptor fd(
      detail::retry_interrupted([&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (fd.get() < 0) throw Error("cannot open the folder {}: {}", folder.string(), std::strerror(errno));
  if (detail::retry_interrupted([&] { return ::flock(fd.get(), LOCK_EX | LOCK_NB); }) != 0 && errno == EWOULDBLOCK)
    return std::nullopt;
  return fd;
}

/// Paths of the entries of a folder, unordered; empty if the folder does not exist. Throws Error if it cannot be read.
inline std::vector<std::filesystem::path> folder_entries(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> entries;
  std::error_code error;
  std::filesystem::directory_iterator at(folder, error);
  while (!error && at != std::filesystem::directory_iterator()) {
    entries.push_back(at->path());
    at.increment(error);
  }
  if (error && error != std::errc::no_such_file_or_directory)
    throw Error("cannot read the folder {}: {}", folder.string(), error.message());
  return entries;
}

}  // namespace moderngpt2
