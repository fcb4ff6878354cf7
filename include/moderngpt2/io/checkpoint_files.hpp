#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/io/gguf/reader.hpp"
#include "moderngpt2/io/gguf/tensors.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/safetensors_reader.hpp"

namespace moderngpt2 {

namespace detail {

/// Path of a shard that an index names. Accepts plain file names inside the folder only. Links out of the folder are
/// refused except those of Hugging Face's cache, from `snapshots` to ../../blobs.
inline std::filesystem::path shard_path(const std::filesystem::path& folder, const std::string& name,
                                        const std::string& where) {
  namespace fs = std::filesystem;
  if (name.empty() || name == "." || name == ".." || name.find('/') != name.npos || name.find('\0') != name.npos ||
      name.size() > 255)
    throw Error("{}: weight_map names the shard {}, it must be a file in the same folder", where, excerpt(name));
  if (!name.ends_with(".safetensors"))
    throw Error("{}: weight_map names the shard {}, only .safetensors files are read", where, excerpt(name));
  const fs::path path = folder / name;
  std::error_code error;
  const fs::path real_folder = fs::canonical(folder, error);
  const fs::path real = fs::canonical(path, error);
  if (error) throw Error("{}: the shard {} is missing: {}", where, excerpt(name), error.message());
  const fs::path home = real_folder.parent_path();
  const bool cached = home.filename() == "snapshots" && real.parent_path() == home.parent_path() / "blobs";
  if (real.parent_path() != real_folder && !cached)
    throw Error("{}: the shard {} is a link that leads out of the folder", where, excerpt(name));
  return path;
}

/// Whether a file has an extension of pickled PyTorch weights, which can execute code when loaded.
inline bool is_pickle(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".bin" || extension == ".pt" || extension == ".pth" || extension == ".ckpt";
}

inline constexpr std::string_view pickle_hint =
    "pickled weights are not read, as they can run any code: convert them to model.safetensors, for instance with "
    "save_pretrained(..., safe_serialization=True)";

}  // namespace detail

/// Tensors of a checkpoint: one safetensors file, a folder with model.safetensors or with shards and
/// model.safetensors.index.json, or a GGUF file, whose tensors have this library's names and are dequantized when read
/// (io/gguf/tensors.hpp). Same interface as SafetensorsFile. Threads: several may read at once.
class CheckpointTensors {
 public:
  explicit CheckpointTensors(const std::filesystem::path& file_or_folder);

  /// Path that the constructor received: the folder or the file.
  const std::filesystem::path& path() const { return path_; }
  /// Safetensors files; none for a GGUF file.
  const std::vector<SafetensorsFile>& files() const { return files_; }
  /// Tensors of all shards; `shard` is the index in `files`.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  /// Metadata of the first safetensors file.
  const std::map<std::string, std::string>& metadata() const {
    static const std::map<std::string, std::string> none;
    return files_.empty() ? none : files_.front().metadata();
  }

  /// Returns the tensor with a name, or nullptr. at() throws Error instead.
  const TensorInfo* find(std::string_view name) const;
  const TensorInfo& at(std::string_view name) const;
  /// File that contains a tensor, for error messages.
  const std::filesystem::path& path_of(const TensorInfo& info) const { return gguf_ ? path_ : file(info).path(); }

  void read(const TensorInfo& info, std::span<std::byte> out, std::uint64_t offset = 0) const {
    gguf_ ? gguf_->read(info, out, offset) : file(info).read(info, out, offset);
  }
  template <TensorElement T>
  void read_as(const TensorInfo& info, T* out, std::int64_t first, std::int64_t count) const {
    gguf_ ? gguf_->read_as(info, out, first, count) : file(info).read_as(info, out, first, count);
  }
  template <TensorElement T>
  void read_as(const TensorInfo& info, T* out) const {
    read_as(info, out, 0, info.count());
  }
  template <TensorElement T>
  std::vector<T> read_vector(std::string_view name) const {
    const TensorInfo& info = at(name);
    std::vector<T> out(static_cast<std::size_t>(info.count()));
    read_as(info, out.data());
    return out;
  }

 private:
  const SafetensorsFile& file(const TensorInfo& info) const { return files_[static_cast<std::size_t>(info.shard)]; }

  void add(const std::filesystem::path& path);
  void add_gguf();

  void open_shards(const std::filesystem::path& index);

  /// Limit on open shards: each takes a file descriptor, and a process usually has 1024.
  static constexpr std::size_t max_shards = 900;

  std::filesystem::path path_;
  std::vector<SafetensorsFile> files_;
  std::shared_ptr<const GgufTensors> gguf_;  // in place of files_
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, std::size_t> index_;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2 {

MODERNGPT2_INLINE CheckpointTensors::CheckpointTensors(const std::filesystem::path& file_or_folder)
    : path_(file_or_folder) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::is_directory(path_, error)) {
    if (detail::is_pickle(path_)) throw Error("{}: {}", path_.string(), detail::pickle_hint);
    if (is_gguf(path_))
      add_gguf();
    else
      add(path_);
    return;
  }
  const fs::path single = path_ / "model.safetensors", index = path_ / "model.safetensors.index.json";
  if (fs::exists(fs::symlink_status(single, error))) {
    add(single);
  } else if (fs::exists(fs::symlink_status(index, error))) {
    open_shards(index);
  } else {
    for (const fs::path& entry : folder_entries(path_))
      if (detail::is_pickle(entry)) throw Error("{}: {}", entry.string(), detail::pickle_hint);
    throw Error("{}: neither model.safetensors nor model.safetensors.index.json found", path_.string());
  }
}

MODERNGPT2_INLINE const TensorInfo* CheckpointTensors::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

MODERNGPT2_INLINE const TensorInfo& CheckpointTensors::at(std::string_view name) const {
  if (const TensorInfo* info = find(name)) return *info;
  throw Error("{}: no tensor {}", path_.string(), excerpt(name));
}

MODERNGPT2_INLINE void CheckpointTensors::add(const std::filesystem::path& path) {
  files_.emplace_back(path);
  for (TensorInfo info : files_.back().tensors()) {
    info.shard = static_cast<int>(files_.size()) - 1;
    const auto [other, is_new] = index_.emplace(info.name, tensors_.size());
    if (!is_new)
      throw Error("tensor {} is in both {} and {}", excerpt(info.name), path_of(tensors_[other->second]).string(),
                  path.string());
    tensors_.push_back(std::move(info));
  }
}

MODERNGPT2_INLINE void CheckpointTensors::add_gguf() {
  gguf_ = std::make_shared<const GgufTensors>(path_);
  tensors_ = gguf_->tensors();
  for (std::size_t i = 0; i < tensors_.size(); ++i) index_.emplace(tensors_[i].name, i);
}

MODERNGPT2_INLINE void CheckpointTensors::open_shards(const std::filesystem::path& index) {
  const std::string where = index.string();
  const Json json = read_json_file(index);
  const Json* weight_map = find_field(json, "weight_map", where);
  if (!weight_map || !weight_map->is_object() || weight_map->empty())
    throw Error("{}: weight_map must be an object that maps tensors to files", where);
  std::vector<std::string> names;
  std::unordered_map<std::string, int> shards;
  for (const auto& [tensor, shard] : weight_map->items()) {
    const auto name = json_as<std::string>(shard, "weight_map " + excerpt(tensor), where);
    if (shards.emplace(name, static_cast<int>(names.size())).second) names.push_back(name);
  }
  if (names.size() > max_shards) throw Error("{}: {} shards, at most {} are opened", where, names.size(), max_shards);
  std::vector<std::filesystem::path> paths;
  for (const std::string& name : names) paths.push_back(detail::shard_path(path_, name, where));
  for (const auto& path : paths) add(path);
  for (const auto& [tensor, shard] : weight_map->items()) {
    const TensorInfo* info = find(tensor);
    const auto& name = shard.get_ref<const std::string&>();
    if (!info) throw Error("{}: no shard has the tensor {}, {} should", where, excerpt(tensor), excerpt(name));
    if (info->shard != shards.at(name))
      throw Error("{}: tensor {} is in {}, not in {}", where, excerpt(tensor), path_of(*info).filename().string(),
                  excerpt(name));
  }
}

}  // namespace moderngpt2

#endif
