#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/dataset.hpp"
#include "moderngpt2/data/metadata.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/folder.hpp"

namespace moderngpt2 {

/// Hidden folder inside the output folder in which a data set is written, so that the output is complete or empty. The
/// next run discards the files of a killed run, including shards already moved to the output, unless it resumes that
/// run. Threads: one at a time.
class DatasetStaging {
 public:
  enum class Start { fresh, resume };

  /// Creates the folders. Throws Error if the output cannot be written, another process uses it, or, on a fresh start,
  /// it contains a data set.
  explicit DatasetStaging(std::filesystem::path output, Start start = Start::fresh)
      : output_(std::move(output)), folder_(output_ / ".unfinished") {
    make_folder(output_);
    make_folder(folder_);
    lock_ = lock_folder(folder_);
    if (!lock_) throw Error("{}: another process is writing a data set here", output_.string());
    owner_ = true;
    if (start == Start::fresh) start_fresh();
  }
  ~DatasetStaging() { end(); }
  DatasetStaging(const DatasetStaging&) = delete;
  DatasetStaging& operator=(const DatasetStaging&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path eval_folder() const { return folder_ / "eval"; }
  std::filesystem::path state_file() const { return folder_ / "state.json"; }
  /// Replacement of the last training shard in publish(), if it exists.
  std::filesystem::path cut_shard() const { return folder_ / "cut.parquet"; }

  /// Whether a killed run had begun to move its shards.
  bool is_publishing() const {
    return std::filesystem::exists(marker()) && std::filesystem::exists(folder_ / "metadata.yaml");
  }
  /// Whether the output contains a complete data set.
  bool is_complete() const { return std::filesystem::exists(output_ / "metadata.yaml"); }
  /// Throws Error if the output contains shards.
  void expect_no_dataset() {
    if (find_shards(output_).empty() && find_shards(output_ / "eval").empty() && !is_complete()) return;
    end();
    throw Error("{}: already contains a data set: remove it, or name another folder", output_.string());
  }

  /// Discards all files for a fresh start.
  void start_fresh() {
    undo_publication();
    remove_except({});
    expect_no_dataset();
  }

  /// Removes all files in the folder except those with these names.
  void remove_except(const std::set<std::string>& names) {
    for (const std::filesystem::path& path : folder_entries(folder_))
      if (!names.contains(path.filename().string())) std::filesystem::remove_all(path);
    std::filesystem::create_directory(eval_folder());
  }

  /// Keeps the folder if the run fails, so that it can be resumed.
  void keep() { keep_ = true; }
  /// Discards the folder at the end of the run.
  void discard_at_end() { keep_ = false; }
  bool is_kept() const { return keep_; }

  /// Moves the shards that `metadata` names, then metadata.yaml, into the output folder.
  void publish(const DatasetMetadata& metadata) {
    write_metadata(folder_ / "metadata.yaml", metadata);
    write_file(marker(), "");
    finish_publication();
  }

  /// Moves the remaining files after an interrupted publish(), of this run or a killed one.
  DatasetMetadata finish_publication() {
    const DatasetMetadata metadata = read_metadata(folder_ / "metadata.yaml");
    if (!metadata.eval_files.empty()) std::filesystem::create_directories(output_ / "eval");
    for_each_file(metadata, [&](const std::string& name) {
      if (std::filesystem::exists(output_ / name)) return;  // moved by the killed run
      const bool cut = name == metadata.train_files.back() && std::filesystem::exists(cut_shard());
      move(cut ? cut_shard() : folder_ / name, output_ / name);
    });
    if (!metadata.eval_files.empty()) sync_folder(output_ / "eval");
    sync_folder(output_);
    move(folder_ / "metadata.yaml", output_ / "metadata.yaml");
    sync_folder(output_);
    published_ = true;
    return metadata;
  }

 private:
  std::filesystem::path marker() const { return folder_ / "publishing"; }

  static void move(const std::filesystem::path& from, const std::filesystem::path& to) {
    std::error_code error;
    std::filesystem::rename(from, to, error);
    if (error) throw Error("cannot move {} to {}: {}", from.string(), to.string(), error.message());
  }

  template <class F>
  static void for_each_file(const DatasetMetadata& metadata, F&& f) {
    for (const auto* files : {&metadata.train_files, &metadata.eval_files})
      for (const std::string& name : *files)
        if (detail::shard_number(name) >= 0) f(name);
  }

  // Moves the shards that an interrupted publish() has moved back into this folder, which has their list.
  void undo_publication() const {
    if (!is_publishing()) return;
    for_each_file(read_metadata(folder_ / "metadata.yaml"), [&](const std::string& name) {
      const bool cut = std::filesystem::exists(folder_ / name);
      if (std::filesystem::exists(output_ / name)) move(output_ / name, cut ? cut_shard() : folder_ / name);
    });
    std::filesystem::remove(marker());
  }

  void end() noexcept {
    if (!owner_) return;
    owner_ = false;
    try {
      if (!published_) undo_publication();
    } catch (const std::exception&) {
      return;  // the next run tries again
    }
    std::error_code ignored;
    if (!keep_ || published_) std::filesystem::remove_all(folder_, ignored);
  }

  std::filesystem::path output_, folder_;
  std::optional<detail::Descriptor> lock_;
  bool owner_ = false, keep_ = false, published_ = false;
};

}  // namespace moderngpt2
