#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/agreement.hpp"
#include "moderngpt2/distributed/buckets.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/io/safetensors.hpp"
#include "moderngpt2/training/checkpoint/checkpoint_folder.hpp"
#include "moderngpt2/training/master_weights.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "moderngpt2/training/optimizer.hpp"

namespace moderngpt2 {

/// File of the optimizer state in a checkpoint of one process. Holds STATE.NAME for every state tensor of the optimizer
/// (OptimizerFor::describe_state) and every parameter that has it, for AdamW exp_avg.NAME and exp_avg_sq.NAME.
inline constexpr const char* optimizer_file = "optimizer.safetensors";

/// Name of the file of one of several ranks. It holds ranges of flat buffers, STATE.matrices.OFFSET and
/// STATE.vectors.OFFSET. Offsets are elements of a single process's buffer, so any number of ranks can read the files.
inline std::string optimizer_file_of_rank(int rank, int ranks) {
  return fmt::format("optimizer-rank-{:05}-of-{:05}.safetensors", rank + 1, ranks);
}

namespace detail {

/// Range of a state tensor's flat buffer in a file.
struct StateRange {
  std::size_t file = 0;
  const TensorInfo* info = nullptr;
  std::int64_t offset = 0;  ///< elements
};

/// Calls f(name, tensors, scope) for each state tensor of an optimizer.
template <class M, class O, class F>
void for_states(const ModelOptimizer<M, O>& optimizer, F&& f) {
  O::describe_state(optimizer.rule(), f);
}

inline bool has_state(StateScope scope, const ParameterInfo& p) {
  return scope == StateScope::all || (scope == StateScope::matrices) == p.is_matrix();
}

/// Calls f(prefix, total, pieces, data) for each flat buffer of an optimizer's state: prefix of the tensor names in
/// files, elements of the whole model, pieces of this rank, first element in memory.
template <class M, class O, class F>
void for_flat_states(const M& model, const ModelOptimizer<M, O>& optimizer, F&& f) {
  const CountParameters total = model.layers().count();
  const distributed::Shard& shard = optimizer.shard();
  for_states(optimizer, [&](const char* name, const auto& tensors, StateScope scope) {
    if (scope != StateScope::vectors)
      f(fmt::format("{}.matrices.", name), total.matrices, shard.matrices, tensors.matrices.data());
    if (scope != StateScope::matrices)
      f(fmt::format("{}.vectors.", name), total.vectors, shard.vectors, tensors.vectors.data());
  });
}

/// State of a whole model, by parameters.
template <class M, class O>
std::vector<TensorSource> state_sources(const M& model, const ModelOptimizer<M, O>& optimizer) {
  std::vector<TensorSource> sources;
  for_states(optimizer, [&](const std::string& name, const auto& tensors, StateScope scope) {
    for (const ParameterInfo& p : model.parameters())
      if (has_state(scope, p))
        sources.push_back(ParameterPlaces(tensors).visit(p, [&](const auto* from) {
          return tensor_source_of(model.backend(), name + '.' + p.name, p.shape, from);
        }));
  });
  return sources;
}

/// State of a shard, by ranges without the padding.
template <class M, class O>
std::vector<TensorSource> state_sources_of_shard(const M& model, const ModelOptimizer<M, O>& optimizer) {
  std::vector<TensorSource> sources;
  for_flat_states(
      model, optimizer,
      [&](const std::string& prefix, std::int64_t total, std::span<const distributed::Piece> pieces, const auto* from) {
        for (const distributed::Piece& p : pieces)
          if (const std::int64_t n = std::min(p.length, total - p.offset); n > 0)
            sources.push_back(
                tensor_source_of(model.backend(), fmt::format("{}{}", prefix, p.offset), {n}, from + p.at));
      });
  return sources;
}

/// Ranges of one flat buffer in the files of a checkpoint, ascending. Throws an Error unless they cover the buffer.
inline std::vector<StateRange> state_ranges(const std::vector<SafetensorsFile>& files, std::string_view prefix,
                                            std::int64_t total) {
  std::vector<StateRange> ranges;
  for (std::size_t file = 0; file < files.size(); ++file)
    for (const TensorInfo& info : files[file].tensors()) {
      if (!std::string_view(info.name).starts_with(prefix)) continue;
      StateRange range{file, &info, -1};
      const char *begin = info.name.data() + prefix.size(), *end = info.name.data() + info.name.size();
      const auto parsed = std::from_chars(begin, end, range.offset);
      if (parsed.ec != std::errc() || parsed.ptr != end || range.offset < 0 || info.shape.size() != 1)
        throw Error("{}: tensor {} is not a range of optimizer state", files[file].path().string(), excerpt(info.name));
      ranges.push_back(range);
    }
  std::sort(ranges.begin(), ranges.end(), [](const StateRange& a, const StateRange& b) { return a.offset < b.offset; });
  std::int64_t at = 0;
  for (const StateRange& range : ranges) {
    if (range.offset != at)
      throw Error("{}: tensor {} begins at element {}, but {} elements precede it", files[range.file].path().string(),
                  excerpt(range.info->name), range.offset, at);
    at += range.info->count();
  }
  if (at != total)
    throw Error("{}: the files of all ranks hold {} elements of {}, the model has {}",
                files.front().path().parent_path().string(), at, prefix, total);
  return ranges;
}

/// Reads elements [first, first + n) of a tensor to the memory of the model's backend.
template <class M, class E>
void read_range(M& model, E* to, const SafetensorsFile& file, const TensorInfo& info, std::int64_t first,
                std::int64_t n) {
  write_pieces(model.backend(), to, n,
               [&](std::int64_t done, std::int64_t count, E* here) { file.read_as(info, here, first + done, count); });
}

template <class M, class O>
void load_state_by_range(const std::vector<SafetensorsFile>& files, M& model, ModelOptimizer<M, O>& optimizer) {
  for_flat_states(
      model, optimizer,
      [&](const std::string& prefix, std::int64_t total, std::span<const distributed::Piece> pieces, auto* to) {
        for (const StateRange& range : state_ranges(files, prefix, total))
          for_common_elements(pieces, range.offset, range.info->count(),
                              [&](const distributed::Piece& p, std::int64_t first, std::int64_t n) {
                                read_range(model, to + p.at + first - p.offset, files[range.file], *range.info,
                                           first - range.offset, n);
                              });
      });
}

template <class M, class O>
void load_state_by_name(const SafetensorsFile& file, M& model, ModelOptimizer<M, O>& optimizer) {
  const distributed::Shard& shard = optimizer.shard();
  for (const bool reads : {false, true})  // all tensors are checked before the first element changes
    for_states(optimizer, [&](const std::string& name, const auto& tensors, StateScope scope) {
      for (const ParameterInfo& p : model.parameters()) {
        if (!has_state(scope, p)) continue;
        const TensorInfo& info = file.at(name + '.' + p.name);
        if (info.shape != p.shape)
          throw Error("{}: tensor {} has the shape {}, the model's has {}", file.path().string(), info.name,
                      shape_text(info.shape), shape_text(p.shape));
        if (!reads) continue;
        const auto read = [&](std::span<const distributed::Piece> pieces, auto* to) {
          for_common_elements(pieces, p.offset, p.size,
                              [&](const distributed::Piece& own, std::int64_t first, std::int64_t n) {
                                read_range(model, to + own.at + first - own.offset, file, info, first - p.offset, n);
                              });
        };
        if (p.is_matrix())
          read(shard.matrices, tensors.matrices.data());
        else
          read(shard.vectors, tensors.vectors.data());
      }
    });
}

/// Size and hash of a rank's file, in a fixed-size form for exchange between ranks.
struct RecordOfRank {
  std::uint64_t bytes = 0;
  char xxh3[40] = {};
};

}  // namespace detail

/// Writes the optimizer state into a checkpoint's folder. If each rank has all of it, rank 0 writes one file and only
/// rank 0 returns its record. Otherwise each rank writes and verifies its own file, and all ranks return all records.
template <class M, class O>
std::vector<FileRecord> save_optimizer_state(const std::filesystem::path& folder, const M& model,
                                             const ModelOptimizer<M, O>& optimizer,
                                             distributed::CommunicatorBase& ranks) {
  std::vector<FileRecord> files;
  const int rank = ranks.rank(), size = ranks.size();
  if (optimizer.is_whole(model)) {
    run_or_fail_together(ranks, "writing the optimizer state", [&] {
      if (rank == 0)
        files.push_back(write_safetensors(folder / optimizer_file, detail::state_sources(model, optimizer)));
    });
    return files;
  }
  std::vector<detail::RecordOfRank> records(std::size_t(size), detail::RecordOfRank{});
  run_or_fail_together(ranks, "writing the optimizer state", [&] {
    const FileRecord own = write_safetensors(folder / optimizer_file_of_rank(rank, size),
                                             detail::state_sources_of_shard(model, optimizer));
    verify_files(folder, std::span(&own, 1));
    detail::RecordOfRank& record = records[std::size_t(rank)];
    record.bytes = own.bytes;
    if (own.xxh3.size() >= sizeof record.xxh3) throw Error("internal: hash of {} digits", own.xxh3.size());
    own.xxh3.copy(record.xxh3, own.xxh3.size());
  });
  ranks.all_gather(records.data(), 1, "hashes of the optimizer state").wait();
  for (int i = 0; i < size; ++i)
    files.push_back({optimizer_file_of_rank(i, size), records[std::size_t(i)].bytes, records[std::size_t(i)].xxh3});
  return files;
}

/// Reads this rank's part of the optimizer state of a checkpoint, whatever number of ranks wrote it.
template <class M, class O>
void load_optimizer_state(const Checkpoint& checkpoint, M& model, ModelOptimizer<M, O>& optimizer) {
  std::vector<SafetensorsFile> files;
  for (const FileRecord& record : checkpoint.state.files)
    if (record.name.starts_with("optimizer-rank-")) files.emplace_back(checkpoint.folder / record.name);
  if (files.empty())
    detail::load_state_by_name(SafetensorsFile(checkpoint.folder / optimizer_file), model, optimizer);
  else
    detail::load_state_by_range(files, model, optimizer);
}

/// Full-precision matrices of all ranks, gathered into host memory one bucket at a time. Threads: one at a time.
template <class M>
class GatheredMasters {
 public:
  using Element = typename MasterWeights<M>::Element;

  /// `passes`: how often the buffer is read, equal on all ranks.
  GatheredMasters(const M& model, const MasterWeights<M>& masters, const distributed::Shard& shard,
                  distributed::CommunicatorBase& ranks, std::size_t passes = 1)
      : model_(model), masters_(masters), shard_(shard), ranks_(ranks), gathers_(passes * shard.matrices.size()) {
    std::int64_t most = 0;
    for (const distributed::Piece& p : shard_.matrices) most = std::max(most, p.length * ranks.size());
    bucket_ = FlatBuffer<Element>(most);
  }

  /// Copies elements [first, first + count) of the flat buffer to `out`. Successive calls of a pass must ascend without
  /// overlap. Called on one rank; the other ranks call finish() meanwhile.
  void read(std::int64_t first, std::int64_t count, std::byte* out) {
    while (count > 0) {
      while (first < begin_ || first >= end_) next();
      const std::int64_t n = std::min(count, end_ - first);
      std::memcpy(out, bucket_.data() + (first - begin_), std::size_t(n) * sizeof(Element));
      first += n, count -= n, out += n * std::int64_t(sizeof(Element));
    }
  }
  /// Takes part in the remaining gathers.
  void finish() {
    while (gathered_ < gathers_) next();
  }

 private:
  void next() {
    if (gathered_ == gathers_) throw Error("internal: the weights are read more often than they are gathered");
    const distributed::Piece& p = shard_.matrices[gathered_++ % shard_.matrices.size()];
    begin_ = p.offset - ranks_.rank() * p.length, end_ = begin_ + ranks_.size() * p.length;
    download(model_.backend(), bucket_.data() + (p.offset - begin_),
             static_cast<const Element*>(masters_.matrices(model_, p)), p.length);
    ranks_.all_gather(bucket_.data(), p.length, "masters for a file").wait();
  }

  const M& model_;
  const MasterWeights<M>& masters_;
  const distributed::Shard& shard_;
  distributed::CommunicatorBase& ranks_;
  FlatBuffer<Element> bucket_;
  std::size_t gathers_, gathered_ = 0;
  std::int64_t begin_ = 0, end_ = 0;  // elements that bucket_ holds
};

}  // namespace moderngpt2
