#pragma once

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <span>
#include <stdio.h>
#include <string>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/training/state.hpp"

namespace moderngpt2 {

/// Complete checkpoint: all files listed by trainer_state.json exist and have the listed sizes.
struct Checkpoint {
  std::filesystem::path folder;
  TrainerState state;
};

namespace detail {

/// N of "checkpoint-N"; -1 for other names.
std::int64_t checkpoint_number(const std::string& name);

/// Whether a name is the hidden name of a checkpoint that was being written or deleted.
bool is_checkpoint_leftover(const std::string& name);

std::string hash_file(const InputFile& file);

}  // namespace detail

std::filesystem::path checkpoint_path(const std::filesystem::path& output_dir, std::int64_t step);

/// Opens a checkpoint. Throws an Error that names a missing or truncated file.
Checkpoint open_checkpoint(const std::filesystem::path& folder);

/// Reads files of a folder and compares their hashes with the records. Throws an Error that names a differing file.
void verify_files(const std::filesystem::path& folder, std::span<const FileRecord> files);

/// Reads every file of a checkpoint and compares its hash. Throws an Error that names a changed file.
inline void verify_checkpoint(const Checkpoint& checkpoint) { verify_files(checkpoint.folder, checkpoint.state.files); }

/// Whether a checkpoint has optimizer files, so that a run can be resumed from it. See save_only_model.
inline bool has_optimizer_files(const Checkpoint& checkpoint) {
  return std::any_of(checkpoint.state.files.begin(), checkpoint.state.files.end(),
                     [](const FileRecord& file) { return file.name.starts_with("optimizer"); });
}

/// Throws an Error that suggests model_path if a checkpoint has no optimizer files.
void require_optimizer_files(const Checkpoint& checkpoint);

/// Complete checkpoints of an output folder, newest first: by the time of the save (see next_save_time()), then by
/// step. Calls on_broken(text) for each incomplete one.
template <class OnBroken>
std::vector<Checkpoint> find_checkpoints(const std::filesystem::path& output_dir, OnBroken&& on_broken) {
  std::vector<Checkpoint> found;
  for (const std::filesystem::path& entry : folder_entries(output_dir)) {
    if (detail::checkpoint_number(entry.filename().string()) < 0) continue;
    try {
      found.push_back(open_checkpoint(entry));
    } catch (const Error& broken) {
      on_broken(std::string(broken.what()));
    }
  }
  std::sort(found.begin(), found.end(), [](const Checkpoint& a, const Checkpoint& b) {
    return std::pair(a.state.saved_at, a.state.step) > std::pair(b.state.saved_at, b.state.step);
  });
  return found;
}

/// Time to record in a checkpoint of `step`, in seconds since 1970: now, or later if the output folder has a checkpoint
/// dated later. A checkpoint is then newer than all that were there before it, even if a clock was wrong.
std::int64_t next_save_time(const std::filesystem::path& output_dir, std::int64_t step);

/// Newest checkpoint whose files pass verification, if any; with `needs_optimizer`, the newest of those that can be
/// resumed. Calls on_broken(text) for each that is passed over.
template <class OnBroken>
std::optional<Checkpoint> latest_checkpoint(const std::filesystem::path& output_dir, OnBroken&& on_broken,
                                            bool needs_optimizer = false) {
  for (Checkpoint& checkpoint : find_checkpoints(output_dir, on_broken)) {
    try {
      if (needs_optimizer) require_optimizer_files(checkpoint);
      verify_checkpoint(checkpoint);
      return std::move(checkpoint);
    } catch (const Error& broken) {
      on_broken(std::string(broken.what()));
    }
  }
  return std::nullopt;
}

/// Largest step of the folders checkpoint-N that are newer than `found` (nullopt: no checkpoint was found) but cannot
/// be used; 0 if no folder is.
std::int64_t last_unusable_step(const std::filesystem::path& output_dir, const std::optional<Checkpoint>& found);

namespace detail {

/// Deletes a folder with its content. Tries twice and ignores errors, since a leftover only occupies disk space.
void delete_folder(const std::filesystem::path& folder);

/// Hidden name of a checkpoint that is being written or deleted.
std::filesystem::path hidden_path(const std::filesystem::path& folder);

}  // namespace detail

/// Keeps `keep`, `best` (empty: none) and the newest of the other checkpoints, `limit` in total (0: all; at least these
/// two), and deletes the rest and all leftovers.
void rotate_checkpoints(const std::filesystem::path& output_dir, int limit, const std::filesystem::path& keep,
                        const std::filesystem::path& best = {});

/// Folder that appears completely or not at all: filled under a hidden name, synced to the disk, renamed. Threads: one
/// at a time.
class AtomicFolder {
 public:
  /// Removes leftovers of a killed save.
  explicit AtomicFolder(std::filesystem::path target);
  ~AtomicFolder() {
    if (!temporary_.empty()) detail::delete_folder(temporary_);
  }
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  /// Hidden folder to write files to.
  const std::filesystem::path& path() const { return temporary_; }

  /// Publishes the folder and replaces one of the same name. The files must be synced.
  void commit();

 private:
  void replace();
  static void rename(const std::filesystem::path& from, const std::filesystem::path& to);

  std::filesystem::path target_, temporary_;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::int64_t checkpoint_number(const std::string& name) {
  constexpr std::string_view prefix = "checkpoint-";
  if (!name.starts_with(prefix)) return -1;
  std::int64_t number = -1;
  const char* end = name.data() + name.size();
  const auto result = std::from_chars(name.data() + prefix.size(), end, number);
  return result.ec == std::errc() && result.ptr == end ? number : -1;
}

MODERNGPT2_INLINE bool is_checkpoint_leftover(const std::string& name) {
  return name.starts_with(".checkpoint-") && name.ends_with(".tmp");
}

MODERNGPT2_INLINE std::string hash_file(const InputFile& file) {
  FileHash hash;
  std::vector<std::byte> chunk(std::size_t{1} << 20);
  for (std::uint64_t at = 0; at < file.size();) {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), file.size() - at));
    file.read(at, std::span(chunk).first(n));
    hash.add(std::span(chunk).first(n));
    at += n;
  }
  return hash.text();
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE std::filesystem::path checkpoint_path(const std::filesystem::path& output_dir, std::int64_t step) {
  return output_dir / fmt::format("checkpoint-{}", step);
}

MODERNGPT2_INLINE Checkpoint open_checkpoint(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "trainer_state.json";
  std::error_code error;
  if (!std::filesystem::exists(file, error)) {
    const bool has_model = std::filesystem::exists(folder / "config.json", error);
    throw Error("{}: no complete checkpoint, trainer_state.json is missing{}", folder.string(),
                has_model
                    ? fmt::format("; {} {} starts a new run from its weights", Setting{"model_path"}, folder.string())
                    : "");
  }
  Checkpoint checkpoint{folder, parse_trainer_state(read_json_file(file), file.string())};
  for (const FileRecord& record : checkpoint.state.files) {
    const std::uint64_t bytes = std::filesystem::file_size(folder / record.name, error);
    if (error && record.name.starts_with("optimizer"))
      throw Error("{}: cannot be resumed, {} is missing: {} {} starts a new run from its weights", folder.string(),
                  record.name, Setting{"model_path"}, folder.string());
    if (error) throw Error("{}: no complete checkpoint, {} is missing", folder.string(), record.name);
    if (bytes != record.bytes)
      throw Error("{}: no complete checkpoint, {} has {} bytes instead of {}", folder.string(), record.name, bytes,
                  record.bytes);
  }
  return checkpoint;
}

MODERNGPT2_INLINE void require_optimizer_files(const Checkpoint& checkpoint) {
  if (has_optimizer_files(checkpoint)) return;
  throw Error("{}: cannot be resumed, it has no files of the optimizer{}: {} {} starts a new run from its weights",
              checkpoint.folder.string(), checkpoint.state.save_only_model ? " (save_only_model)" : "",
              Setting{"model_path"}, checkpoint.folder.string());
}

MODERNGPT2_INLINE std::int64_t next_save_time(const std::filesystem::path& output_dir, std::int64_t step) {
  using namespace std::chrono;
  const std::int64_t now = duration_cast<seconds>(system_clock::now().time_since_epoch()).count();
  const std::vector<Checkpoint> there = find_checkpoints(output_dir, [](const std::string&) {});
  if (there.empty()) return now;
  const TrainerState& newest = there.front().state;
  return std::max(now, newest.saved_at + (newest.step < step ? 0 : 1));
}

MODERNGPT2_INLINE std::int64_t last_unusable_step(const std::filesystem::path& output_dir,
                                                  const std::optional<Checkpoint>& found) {
  std::int64_t last = 0;
  for (const std::filesystem::path& entry : folder_entries(output_dir)) {
    const std::int64_t step = detail::checkpoint_number(entry.filename().string());
    if (step <= last || (found && step <= found->state.step)) continue;
    try {
      const Checkpoint other = open_checkpoint(entry);  // complete: older, or its files are damaged
      if (found && other.state.saved_at < found->state.saved_at) continue;
    } catch (const Error&) {
    }
    last = step;
  }
  return last;
}

MODERNGPT2_INLINE void verify_files(const std::filesystem::path& folder, std::span<const FileRecord> files) {
  for (const FileRecord& record : files)
    if (detail::hash_file(InputFile(folder / record.name)) != record.xxh3)
      throw Error("{} is damaged: its hash differs from the one recorded when it was written",
                  (folder / record.name).string());
}

}  // namespace moderngpt2

namespace moderngpt2::detail {

MODERNGPT2_INLINE void delete_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::remove_all(folder, error);
  if (error) std::filesystem::remove_all(folder, error);
}

MODERNGPT2_INLINE std::filesystem::path hidden_path(const std::filesystem::path& folder) {
  return folder.parent_path() / fmt::format(".{}.tmp", folder.filename().string());
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE void rotate_checkpoints(const std::filesystem::path& output_dir, int limit,
                                          const std::filesystem::path& keep, const std::filesystem::path& best) {
  for (const std::filesystem::path& path : folder_entries(output_dir))
    if (detail::is_checkpoint_leftover(path.filename().string())) detail::delete_folder(path);
  const std::vector<Checkpoint> found = find_checkpoints(output_dir, [](const std::string&) {});
  const auto is_protected = [&](const Checkpoint& c) { return c.folder == keep || c.folder == best; };
  int kept = int(std::count_if(found.begin(), found.end(), is_protected));
  for (const Checkpoint& checkpoint : found) {
    if (limit == 0 || is_protected(checkpoint) || kept++ < limit) continue;
    // Renamed first, so that an interrupted deletion leaves no incomplete checkpoint.
    std::error_code ignored;
    const std::filesystem::path hidden = detail::hidden_path(checkpoint.folder);
    std::filesystem::rename(checkpoint.folder, hidden, ignored);
    detail::delete_folder(hidden);
  }
}

}  // namespace moderngpt2

namespace moderngpt2 {

MODERNGPT2_INLINE AtomicFolder::AtomicFolder(std::filesystem::path target) : target_(std::move(target)) {
  temporary_ = detail::hidden_path(target_);
  std::error_code error;
  std::filesystem::remove_all(temporary_, error);
  if (!error) std::filesystem::create_directory(temporary_, error);
  if (error) throw Error("cannot make the folder {}: {}", temporary_.string(), error.message());
}

MODERNGPT2_INLINE void AtomicFolder::commit() {
  sync_folder(temporary_);
  if (std::filesystem::exists(std::filesystem::symlink_status(target_)))
    replace();
  else
    rename(temporary_, target_);
  sync_folder(target_.parent_path());
  detail::delete_folder(temporary_);  // after an exchange: the previous folder
  temporary_.clear();
}

MODERNGPT2_INLINE void AtomicFolder::replace() {
#ifdef RENAME_EXCHANGE
  if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) return;
  if (errno != EINVAL && errno != ENOSYS) throw Error("cannot publish {}: {}", target_.string(), std::strerror(errno));
#endif
  std::filesystem::remove_all(target_);
  rename(temporary_, target_);
}

MODERNGPT2_INLINE void AtomicFolder::rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) throw Error("cannot publish {}: {}", to.string(), std::strerror(errno));
}

}  // namespace moderngpt2

namespace moderngpt2 {}  // namespace moderngpt2

#endif
