#pragma once

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <sys/file.h>
#include <system_error>
#include <unistd.h>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/file.hpp"

namespace moderngpt2 {

/// Makes a folder and those above it that are missing, durably. Throws an Error where that cannot be done.
inline void make_folder(const std::filesystem::path& folder) {
  if (folder.empty()) throw Error("the name of a folder to write is empty");
  std::vector<std::filesystem::path> parents;  // of the new folders
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
    if (::access(parent.c_str(), R_OK) == 0) sync_folder(parent);  // it cannot be opened without that right
}

/// Throws an Error where a folder could not be made, or a file written there. Leaves nothing behind.
inline void require_writable(const std::filesystem::path& folder) {
  if (folder.empty()) throw Error("the name of a folder to write is empty");
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

/// Opens a folder and locks it for as long as the result lives, against other processes that lock it so; nothing where
/// another one has it. A file system that knows no locks gives none. Throws an Error where it cannot be opened.
inline std::optional<detail::Descriptor> lock_folder(const std::filesystem::path& folder) {
  detail::Descriptor fd(
      detail::retry_interrupted([&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (fd.get() < 0) throw Error("cannot open the folder {}: {}", folder.string(), std::strerror(errno));
  if (detail::retry_interrupted([&] { return ::flock(fd.get(), LOCK_EX | LOCK_NB); }) != 0 && errno == EWOULDBLOCK)
    return std::nullopt;
  return fd;
}

/// The paths of what is in a folder, in no order; none where there is no such folder. Throws an Error where it cannot
/// be read.
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
