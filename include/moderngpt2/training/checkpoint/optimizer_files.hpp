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
#include "moderngpt2/training/optimizer.hpp"

namespace moderngpt2 {

/// The moments' file in a checkpoint of one process: exp_avg.NAME and exp_avg_sq.NAME for every parameter.
inline constexpr const char* optimizer_file = "optimizer.safetensors";

/// The file of one of several ranks: flat ranges of both groups, exp_avg.matrices.OFFSET and so on. Offsets count
/// elements of the flat buffer that one process has, so the files can be read by any number of ranks.
inline std::string optimizer_file_of_rank(int rank, int ranks) {
  return fmt::format("optimizer-rank-{:05}-of-{:05}.safetensors", rank + 1, ranks);
}

namespace detail {

/// A flat range of the moments in a file.
struct MomentRange {
  std::size_t file = 0;
  const TensorInfo* info = nullptr;
  std::int64_t offset = 0;
};

/// Calls f(prefix of the names, total of elements, pieces, first element in memory) for each of the four flat buffers
/// of moments.
template <class M, class Optimizer, class F>
void for_moments(const M& model, Optimizer& optimizer, F&& f) {
  const CountParameters total = model.layers().count();
  const distributed::Shard& shard = optimizer.shard();
  f("exp_avg.matrices.", total.matrices, shard.matrices, optimizer.first.matrices.data());
  f("exp_avg.vectors.", total.vectors, shard.vectors, optimizer.first.vectors.data());
  f("exp_avg_sq.matrices.", total.matrices, shard.matrices, optimizer.second.matrices.data());
  f("exp_avg_sq.vectors.", total.vectors, shard.vectors, optimizer.second.vectors.data());
}

template <class M>
std::vector<TensorSource> moment_sources_of_shard(const M& model, const AdamW<M>& optimizer) {
  std::vector<TensorSource> sources;
  for_moments(
      model, optimizer,
      [&](const char* prefix, std::int64_t total, std::span<const distributed::Piece> pieces, const auto* from) {
        for (const distributed::Piece& p : pieces)
          if (const std::int64_t n = std::min(p.length, total - p.offset); n > 0)  // without the padding
            sources.push_back(
                tensor_source_of(model.backend(), fmt::format("{}{}", prefix, p.offset), {n}, from + p.at));
      });
  return sources;
}

/// The ranges of one buffer in the files of a checkpoint, ascending. Throws an Error unless they are the whole of it.
inline std::vector<MomentRange> moment_ranges(const std::vector<SafetensorsFile>& files, std::string_view prefix,
                                              std::int64_t total) {
  std::vector<MomentRange> ranges;
  for (std::size_t file = 0; file < files.size(); ++file)
    for (const TensorInfo& info : files[file].tensors()) {
      if (!std::string_view(info.name).starts_with(prefix)) continue;
      MomentRange range{file, &info, -1};
      const char *begin = info.name.data() + prefix.size(), *end = info.name.data() + info.name.size();
      const auto parsed = std::from_chars(begin, end, range.offset);
      if (parsed.ec != std::errc() || parsed.ptr != end || range.offset < 0 || info.shape.size() != 1)
        throw Error("{}: tensor {} is no range of moments", files[file].path().string(), excerpt(info.name));
      ranges.push_back(range);
    }
  std::sort(ranges.begin(), ranges.end(),
            [](const MomentRange& a, const MomentRange& b) { return a.offset < b.offset; });
  std::int64_t at = 0;
  for (const MomentRange& range : ranges) {
    if (range.offset != at)
      throw Error("{}: tensor {} begins at element {}, but {} are there before it", files[range.file].path().string(),
                  excerpt(range.info->name), range.offset, at);
    at += range.info->count();
  }
  if (at != total)
    throw Error("{}: the files of all ranks hold {} elements of {}, the model has {}",
                files.front().path().parent_path().string(), at, prefix, total);
  return ranges;
}

/// to (n), where the model's backend has it = elements of a tensor from `first` on.
template <class M, class E>
void read_range(M& model, E* to, const SafetensorsFile& file, const TensorInfo& info, std::int64_t first,
                std::int64_t n) {
  write_pieces(model.backend(), to, n,
               [&](std::int64_t done, std::int64_t count, E* here) { file.read_as(info, here, first + done, count); });
}

template <class M>
void load_moments_by_range(const std::vector<SafetensorsFile>& files, M& model, AdamW<M>& optimizer) {
  for_moments(model, optimizer,
              [&](const char* prefix, std::int64_t total, std::span<const distributed::Piece> pieces, auto* to) {
                for (const MomentRange& range : moment_ranges(files, prefix, total))
                  for_common_elements(pieces, range.offset, range.info->count(),
                                      [&](const distributed::Piece& p, std::int64_t first, std::int64_t n) {
                                        read_range(model, to + p.at + first - p.offset, files[range.file], *range.info,
                                                   first - range.offset, n);
                                      });
              });
}

template <class M>
void load_moments_by_name(const SafetensorsFile& file, M& model, AdamW<M>& optimizer) {
  const distributed::Shard& shard = optimizer.shard();
  for (const bool reads : {false, true})  // nothing is changed before all is found
    for (const auto& [prefix, moments] :
         {std::pair("exp_avg.", &optimizer.first), std::pair("exp_avg_sq.", &optimizer.second)})
      for (const ParameterInfo& p : model.parameters()) {
        const TensorInfo& info = file.at(prefix + p.name);
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
          read(shard.matrices, moments->matrices.data());
        else
          read(shard.vectors, moments->vectors.data());
      }
}

/// What the ranks tell each other of their files.
struct RecordOfRank {
  std::uint64_t bytes = 0;
  char xxh3[40] = {};
};

}  // namespace detail

/// Writes the moments into a checkpoint's folder, each rank its own. Returns the files of all ranks, on each; those of
/// several ranks have been read back.
template <class M>
std::vector<FileRecord> save_moments(const std::filesystem::path& folder, const M& model, const AdamW<M>& optimizer,
                                     distributed::CommunicatorBase& ranks) {
  std::vector<FileRecord> files;
  const int rank = ranks.rank(), size = ranks.size();
  if (optimizer.is_whole(model)) {
    run_or_fail_together(ranks, "the moments' file", [&] {
      if (rank != 0) return;
      std::vector<TensorSource> moments =
          tensor_sources(model.backend(), ParameterPlaces(optimizer.first), model.parameters(), "exp_avg.");
      for (TensorSource& source :
           tensor_sources(model.backend(), ParameterPlaces(optimizer.second), model.parameters(), "exp_avg_sq."))
        moments.push_back(std::move(source));
      files.push_back(write_safetensors(folder / optimizer_file, moments));
    });
    return files;
  }
  std::vector<detail::RecordOfRank> records(std::size_t(size), detail::RecordOfRank{});
  run_or_fail_together(ranks, "the moments' files", [&] {
    const FileRecord own = write_safetensors(folder / optimizer_file_of_rank(rank, size),
                                             detail::moment_sources_of_shard(model, optimizer));
    verify_files(folder, std::span(&own, 1));
    detail::RecordOfRank& record = records[std::size_t(rank)];
    record.bytes = own.bytes;
    if (own.xxh3.size() >= sizeof record.xxh3) throw Error("internal: a hash of {} digits", own.xxh3.size());
    own.xxh3.copy(record.xxh3, own.xxh3.size());
  });
  ranks.all_gather(records.data(), 1, "the moments' hashes").wait();
  for (int i = 0; i < size; ++i)
    files.push_back({optimizer_file_of_rank(i, size), records[std::size_t(i)].bytes, records[std::size_t(i)].xxh3});
  return files;
}

/// Reads this rank's part of the moments of a checkpoint, whoever wrote them.
template <class M>
void load_moments(const Checkpoint& checkpoint, M& model, AdamW<M>& optimizer) {
  std::vector<SafetensorsFile> files;
  for (const FileRecord& record : checkpoint.state.files)
    if (record.name.starts_with("optimizer-rank-")) files.emplace_back(checkpoint.folder / record.name);
  if (files.empty())
    detail::load_moments_by_name(SafetensorsFile(checkpoint.folder / optimizer_file), model, optimizer);
  else
    detail::load_moments_by_range(files, model, optimizer);
}

/// The matrices of all ranks as training keeps them, one bucket after the other in the host's memory: no rank has
/// memory for all.
template <class M>
class GatheredMasters {
 public:
  using Master = typename AdamW<M>::Master;

  GatheredMasters(const M& model, const AdamW<M>& optimizer, distributed::CommunicatorBase& ranks)
      : model_(model), optimizer_(optimizer), ranks_(ranks) {
    std::int64_t most = 0;
    for (const distributed::Piece& p : optimizer.shard().matrices) most = std::max(most, p.length * ranks.size());
    bucket_ = FlatBuffer<Master>(most);
  }

  /// Elements of the flat buffer; successive calls ask for ascending ones. The other ranks call finish() meanwhile.
  void read(std::int64_t first, std::int64_t count, std::byte* out) {
    while (count > 0) {
      while (first >= end_) next();
      const std::int64_t n = std::min(count, end_ - first);
      std::memcpy(out, bucket_.data() + (first - begin_), std::size_t(n) * sizeof(Master));
      first += n, count -= n, out += n * std::int64_t(sizeof(Master));
    }
  }
  /// Takes part in what is left to be gathered.
  void finish() {
    while (piece_ < optimizer_.shard().matrices.size()) next();
  }

 private:
  void next() {
    const distributed::Piece& p = optimizer_.shard().matrices[piece_++];
    begin_ = p.offset - ranks_.rank() * p.length, end_ = begin_ + ranks_.size() * p.length;
    download(model_.backend(), bucket_.data() + (p.offset - begin_), optimizer_.kept_matrices(model_, p), p.length);
    ranks_.all_gather(bucket_.data(), p.length, "masters for a file").wait();
  }

  const M& model_;
  const AdamW<M>& optimizer_;
  distributed::CommunicatorBase& ranks_;
  FlatBuffer<Master> bucket_;
  std::size_t piece_ = 0;
  std::int64_t begin_ = 0, end_ = 0;  // what bucket_ holds
};

}  // namespace moderngpt2
