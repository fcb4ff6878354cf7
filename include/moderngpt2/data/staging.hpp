#pragma once

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/file.h>
#include <system_error>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/dataset.hpp"
#include "moderngpt2/data/metadata.hpp"
#include "moderngpt2/io/file.hpp"

namespace moderngpt2 {

/// The hidden folder inside an output folder in which a data set is made, so that the output holds all of it or
/// nothing. What a run that was killed has left there is cleared away by the next one, moved shards included.
class DatasetStaging {
 public:
  /// Makes the folders. Throws Error where the output holds a data set already, cannot be written, or another process
  /// is at work in it.
  explicit DatasetStaging(std::filesystem::path output) : output_(std::move(output)), folder_(output_ / ".unfinished") {
    std::error_code error;
    std::filesystem::create_directories(folder_, error);
    if (error) throw Error("{}: cannot make the folder: {}", folder_.string(), error.message());
    lock_ = detail::Descriptor(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (lock_.get() < 0 || ::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0)
      throw Error("{}: another process writes a data set here: {}", output_.string(), std::strerror(errno));
    owner_ = true;
    undo_publication();
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) std::filesystem::remove_all(entry.path());
    if (!find_shards(output_).empty() || !find_shards(output_ / "eval").empty() ||
        std::filesystem::exists(output_ / "metadata.yaml")) {
      remove();
      throw Error("{}: holds a data set already: remove it, or name another folder", output_.string());
    }
    std::filesystem::create_directory(eval_folder());
  }
  ~DatasetStaging() { remove(); }
  DatasetStaging(const DatasetStaging&) = delete;
  DatasetStaging& operator=(const DatasetStaging&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path eval_folder() const { return folder_ / "eval"; }

  /// Moves the shards that `metadata` names, and metadata.yaml after them, into the output folder.
  void publish(const DatasetMetadata& metadata) {
    write_metadata(folder_ / "metadata.yaml", metadata);
    write_file(marker(), "");
    if (!metadata.eval_files.empty()) std::filesystem::create_directories(output_ / "eval");
    for (const auto* files : {&metadata.train_files, &metadata.eval_files})
      for (const std::string& name : *files) std::filesystem::rename(folder_ / name, output_ / name);
    if (!metadata.eval_files.empty()) sync_folder(output_ / "eval");
    sync_folder(output_);
    std::filesystem::rename(folder_ / "metadata.yaml", output_ / "metadata.yaml");
    sync_folder(output_);
    published_ = true;
  }

 private:
  std::filesystem::path marker() const { return folder_ / "publishing"; }

  // A run that ended between its first move and its last has left its list here: those shards are its own.
  void undo_publication() const {
    if (!std::filesystem::exists(marker()) || !std::filesystem::exists(folder_ / "metadata.yaml")) return;
    const DatasetMetadata metadata = read_metadata(folder_ / "metadata.yaml");
    for (const auto* files : {&metadata.train_files, &metadata.eval_files})
      for (const std::string& name : *files)
        if (detail::shard_number(name) >= 0) std::filesystem::remove(output_ / name);
  }

  void remove() noexcept {
    if (!owner_) return;
    owner_ = false;
    try {
      if (!published_) undo_publication();
    } catch (const std::exception&) {
      return;  // the next run tries again
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  std::filesystem::path output_, folder_;
  detail::Descriptor lock_;
  bool owner_ = false, published_ = false;
};

}  // namespace moderngpt2
