#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/training/checkpoint/checkpoint_folder.hpp"

namespace moderngpt2 {

/// Output folder of a run, locked during the object's lifetime. Threads: one at a time.
class OutputFolder {
 public:
  /// Creates the folder, tests that it is writable, and removes leftovers of a killed run. Throws an Error if it is not
  /// writable, if another process has locked it, or if the disk has less than `bytes` available.
  OutputFolder(const std::filesystem::path& folder, std::uint64_t bytes);

 private:
  std::optional<detail::Descriptor> lock_;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE OutputFolder::OutputFolder(const std::filesystem::path& folder, std::uint64_t bytes) {
  make_folder(folder);
  lock_ = lock_folder(folder);
  if (!lock_) throw Error("{} is in use by another run: choose another {}", folder.string(), Setting{"output_dir"});
  { AtomicFile trial(folder / "write-test"); }
  std::error_code error;
  const std::uint64_t available = std::filesystem::space(folder, error).available;
  if (!error && available < bytes)
    throw Error("{}: the checkpoints of this run need {:.1f} MiB, the disk has {:.1f} MiB left: make room, or lower {}",
                folder.string(), double(bytes) / (1 << 20), double(available) / (1 << 20), Setting{"save_total_limit"});
  for (const std::filesystem::path& path : folder_entries(folder)) {
    const std::string name = path.filename().string();
    if (detail::is_checkpoint_leftover(name) || is_atomic_leftover(name)) std::filesystem::remove_all(path, error);
  }
}

}  // namespace moderngpt2

#endif
