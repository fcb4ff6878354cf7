#pragma once

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <system_error>
#include <utility>
#include <vector>

#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/io/gguf/export.hpp"
#include "moderngpt2/io/model_format.hpp"
#include "moderngpt2/io/safetensors_writer.hpp"
#include "moderngpt2/io/stored_source.hpp"
#include "moderngpt2/run/conversion_input.hpp"
#include "moderngpt2/run/conversion_plan.hpp"
#include "moderngpt2/training/checkpoint/checkpoint_folder.hpp"

namespace moderngpt2 {

/// Settings of a conversion: flags of convert_checkpoint.
struct ConversionRequest {
  std::filesystem::path input, output;
  std::optional<ModelFormat> format{};  ///< empty: gguf for an output named *.gguf, otherwise the input's own format
  std::optional<GgufDtype> dtype{};     ///< empty: as stored
  std::uint64_t max_shard_bytes = 5'000'000'000;
};

/// Result of a conversion.
struct ConversionResult {
  ModelFormat from = ModelFormat::moderngpt2, to = ModelFormat::moderngpt2;
  GgufDtype dtype = GgufDtype::f32;  ///< type of the matrices in the output
  bool rounds_weights = false;       ///< weights are rounded to another type or scaled by an inexact factor
  std::vector<FileRecord> files{};   ///< written files
  std::vector<std::string> notes{};  ///< lines for the user

  /// Total size of the written files.
  std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const FileRecord& file : files) sum += file.bytes;
    return sum;
  }
};

/// Called while weights are written, with the bytes done so far and their total. May throw to stop the conversion,
/// which then leaves nothing behind.
using ConversionProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// Converts a model to another format or element type. Reads weights piece by piece: needs a few MiB, whatever the size
/// of the model. The output appears complete or not at all. Throws an Error that names a field that the target cannot
/// express, a tensor that does not fit, or an output that exists already.
ConversionResult convert_checkpoint(const ConversionRequest& request, const ConversionProgress& progress = {});

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

/// Format of the output.
MODERNGPT2_INLINE ModelFormat target_format(const ConversionRequest& request, ModelFormat own) {
  const bool is_gguf_name = request.output.extension() == ".gguf";
  const ModelFormat format = request.format.value_or(is_gguf_name               ? ModelFormat::gguf
                                                     : own == ModelFormat::gguf ? ModelFormat::moderngpt2
                                                                                : own);
  const bool is_block = request.dtype == GgufDtype::q8_0 || request.dtype == GgufDtype::q4_0;
  if (is_block && format != ModelFormat::gguf)
    throw UsageError("{} {} needs {} gguf; folders have f32, f16 and bf16", Setting{"dtype"},
                     gguf_dtype_entry(*request.dtype).name, Setting{"format"});
  if (is_gguf_name && format != ModelFormat::gguf)
    throw UsageError("{} {} is named like a GGUF file, but the format {} is a folder", Setting{"output"},
                     request.output.string(), format_name(format));
  return format;
}

/// Deletes unfinished temporary files of a GGUF file, left by conversions that were killed: those of processes that do
/// not exist any more.
MODERNGPT2_INLINE void remove_leftovers(const std::filesystem::path& output) {
  const std::string prefix = "." + output.filename().string() + ".";
  for (const std::filesystem::path& path : folder_entries(output.parent_path())) {
    const std::string name = path.filename().string();
    if (!name.starts_with(prefix) || !is_atomic_leftover(name)) continue;
    const long process = std::strtol(name.c_str() + prefix.size(), nullptr, 10);
    std::error_code ignored;
    if (process > 0 && ::kill(static_cast<pid_t>(process), 0) != 0 && errno == ESRCH)
      std::filesystem::remove(path, ignored);
  }
}

/// Checks that the output does not exist, or is an empty folder for formats that are folders, and that its disk has
/// room. Creates the parent folder. Returns the path without links and without a trailing slash.
MODERNGPT2_INLINE std::filesystem::path require_free_output(const ConversionRequest& request, bool is_file,
                                                            std::uint64_t bytes) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::path output = fs::absolute(request.output).lexically_normal();
  if (!output.has_filename()) output = output.parent_path();
  if (request.output.empty() || !output.has_filename())
    throw UsageError("{} '{}' is not the name of a file or folder", Setting{"output"}, request.output.string());
  if (fs::exists(fs::symlink_status(output, error))) {
    if (is_file) throw Error("{} exists already: remove it or choose another {}", output.string(), Setting{"output"});
    if (!fs::is_directory(output, error))
      throw Error("{} is a file, a folder is written: choose another {}", output.string(), Setting{"output"});
    if (!folder_entries(output).empty())
      throw Error("{} is not empty: choose a new or an empty folder as {}", output.string(), Setting{"output"});
    output = fs::canonical(output);
  }
  const fs::path parent = output.parent_path();
  make_folder(parent);
  if (is_file) remove_leftovers(output);
  require_writable(parent);
  const std::uint64_t available = fs::space(parent, error).available;
  if (!error && available < bytes)
    throw Error("{}: the output needs {:.1f} MiB, the disk has {:.1f} MiB left: make room, or choose another {}",
                output.string(), double(bytes) / (1 << 20), double(available) / (1 << 20), Setting{"output"});
  return output;
}

/// Adds the progress to sources.
MODERNGPT2_INLINE std::vector<TensorSource> watched_sources(std::vector<TensorSource> sources,
                                                            const ConversionProgress& progress, std::uint64_t total) {
  if (!progress) return sources;
  auto done = std::make_shared<std::uint64_t>(0);
  for (TensorSource& source : sources)
    source.fill = [fill = std::move(source.fill), &progress, done, total](std::uint64_t offset,
                                                                          std::span<std::byte> out) {
      fill(offset, out);
      *done = std::min(*done + out.size(), total);  // a GGUF file is written from tensors that are read twice
      progress(*done, total);
    };
  return sources;
}

MODERNGPT2_INLINE GgufDtype dtype_of_tensors(std::span<const TensorSource> tensors) {
  for (const TensorSource& tensor : tensors)
    if (tensor.dtype == Dtype::f16 || tensor.dtype == Dtype::bf16)
      return tensor.dtype == Dtype::f16 ? GgufDtype::f16 : GgufDtype::bf16;
  return GgufDtype::f32;
}

/// Type of the matrices of the input.
MODERNGPT2_INLINE GgufDtype stored_dtype(const ConversionInput& input) {
  std::vector<TensorSource> stored;
  for (const std::string& name : input.names)
    stored.push_back(stored_source(input.tensors, input.tensors.at(name), name));
  return dtype_of_tensors(stored);
}

/// Writes a model folder under a hidden name and renames it.
MODERNGPT2_INLINE std::vector<FileRecord> write_converted_folder(const std::filesystem::path& output,
                                                                 const ConversionPlan& plan,
                                                                 std::span<const TensorSource> tensors,
                                                                 std::uint64_t max_shard_bytes) {
  const std::filesystem::path hidden = hidden_path(output);
  std::error_code error;
  if (std::filesystem::is_directory(hidden, error) && !lock_folder(hidden))
    throw Error("{} is being written by another process: choose another {}", output.string(), Setting{"output"});
  AtomicFolder folder(output);
  const auto lock = lock_folder(folder.path());
  std::vector<FileRecord> files = write_sharded(folder.path(), tensors, max_shard_bytes);
  if (const auto originals = plan.queries.write_originals(folder.path())) files.push_back(*originals);
  for (FileRecord& file : plan.tokenizer.write(folder.path())) files.push_back(std::move(file));
  if (!plan.generation.empty()) files.push_back(write_file(folder.path() / "generation_config.json", plan.generation));
  files.push_back(write_json_file(folder.path() / "config.json", plan.config));
  folder.commit();
  return files;
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE ConversionResult convert_checkpoint(const ConversionRequest& request,
                                                      const ConversionProgress& progress) {
  const ConversionInput input = ConversionInput::open(request.input);
  ConversionResult result{.from = input.format, .to = detail::target_format(request, input.format)};
  ConversionPlan plan = plan_conversion(input, result.to, request.dtype);
  std::uint64_t total = 0;
  for (const TensorSource& tensor : plan.tensors) total += detail::source_bytes(tensor);
  for (const TensorSource& tensor : plan.queries.originals) total += detail::source_bytes(tensor);
  const bool is_file = result.to == ModelFormat::gguf;
  const std::filesystem::path output = detail::require_free_output(request, is_file, is_file ? 0 : total);
  result.dtype = request.dtype.value_or(detail::dtype_of_tensors(plan.tensors));
  const GgufDtype stored = detail::stored_dtype(input);
  result.rounds_weights = plan.scales_queries || (result.dtype != stored && result.dtype != GgufDtype::f32);
  result.notes = plan.notes;
  const std::vector<TensorSource> tensors = detail::watched_sources(std::move(plan.tensors), progress, total);
  if (is_file)
    result.files.push_back(write_gguf(output, parse_config(plan.config, request.input.string()), tensors, result.dtype,
                                      plan.gguf_tokenizer, output.stem().string()));
  else
    result.files = detail::write_converted_folder(output, plan, tensors, request.max_shard_bytes);
  return result;
}

}  // namespace moderngpt2

#endif
