#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#ifdef MODERNGPT2_HAVE_PARQUET
#include <arrow/api.h>
#include <arrow/io/interfaces.h>
#include <parquet/arrow/writer.h>
#endif

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/arrow_error.hpp"
#include "moderngpt2/io/file.hpp"

namespace moderngpt2 {

#ifdef MODERNGPT2_HAVE_PARQUET

namespace detail {

/// Arrow output stream to an AtomicFile.
class AtomicOutputStream final : public arrow::io::OutputStream {
 public:
  explicit AtomicOutputStream(const std::filesystem::path& path) : file_(path) {}

  arrow::Status Write(const void* data, std::int64_t size) override {
    try {
      file_.write(std::string_view(static_cast<const char*>(data), static_cast<std::size_t>(size)));
    } catch (const Error& error) {
      return arrow::Status::IOError(error.what());
    }
    return arrow::Status::OK();
  }
  arrow::Result<std::int64_t> Tell() const override { return static_cast<std::int64_t>(file_.size()); }
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }
  void commit() { file_.commit(); }

 private:
  AtomicFile file_;
  bool closed_ = false;
};

}  // namespace detail

#endif

/// Rows per row group: about 32k tokens, at most 1000 rows. Small, because shuffled reading decodes a group for each
/// row.
inline std::int64_t rows_per_group(int block_size) {
  return std::clamp<std::int64_t>((std::int64_t{1} << 15) / std::max(block_size, 1), 1, 1000);
}

#ifdef MODERNGPT2_HAVE_PARQUET

/// Writes one shard of blocks: columns `input_ids` (list<int32>) and `attention_mask` (list<int8>, all 1), zstd.
/// Deterministic for one version of Arrow. finish() publishes the file.
class ParquetWriter {
 public:
  /// All members throw Error if the file cannot be written.
  ParquetWriter(std::filesystem::path path, int block_size);

  /// Appends a row of block_size ids.
  void add(std::span<const std::int32_t> block);

  /// Writes the remaining rows and publishes the file.
  void finish();

  std::int64_t rows() const { return rows_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  template <class Check>
  void flush(const Check& check) {
    if (ids_.length() == 0) return;
    std::shared_ptr<arrow::Array> ids, mask;
    check(ids_.Finish(&ids));
    check(mask_.Finish(&mask));
    check(writer_->WriteTable(*arrow::Table::Make(schema_, {ids, mask}), ids->length()));
  }

  std::filesystem::path path_;
  int block_size_;
  std::shared_ptr<arrow::Schema> schema_;
  std::shared_ptr<detail::AtomicOutputStream> stream_;
  std::shared_ptr<arrow::Int32Builder> id_values_;
  std::shared_ptr<arrow::Int8Builder> mask_values_;
  arrow::ListBuilder ids_, mask_;
  std::vector<std::int8_t> ones_;
  std::unique_ptr<parquet::arrow::FileWriter> writer_;
  std::int64_t rows_ = 0;
};

#else

/// Replacement in builds without Parquet: the constructor throws Error.
class ParquetWriter {
 public:
  ParquetWriter(const std::filesystem::path& path, int) { detail::refuse_parquet(path); }

  void add(std::span<const std::int32_t>) {}
  void finish() {}
  std::int64_t rows() const { return 0; }
};

#endif

}  // namespace moderngpt2

#if defined(MODERNGPT2_HAVE_PARQUET) && !defined(MODERNGPT2_DECLARE_RUNS)

namespace moderngpt2 {

MODERNGPT2_INLINE ParquetWriter::ParquetWriter(std::filesystem::path path, int block_size)
    : path_(std::move(path)),
      block_size_(block_size),
      stream_(std::make_shared<detail::AtomicOutputStream>(path_)),
      id_values_(std::make_shared<arrow::Int32Builder>()),
      mask_values_(std::make_shared<arrow::Int8Builder>()),
      ids_(arrow::default_memory_pool(), id_values_),
      mask_(arrow::default_memory_pool(), mask_values_),
      ones_(static_cast<std::size_t>(block_size), 1) {
  detail::guard_arrow(path_, "write", [&](const auto& check) {
    schema_ = arrow::schema({arrow::field("input_ids", arrow::list(arrow::int32())),
                             arrow::field("attention_mask", arrow::list(arrow::int8()))});
    // Ids rarely repeat within a page's dictionary: plain values compress better and decode faster.
    const auto properties = parquet::WriterProperties::Builder()
                                .disable_dictionary()
                                ->compression(parquet::Compression::ZSTD)
                                ->compression_level(1)  // levels 2 and 3 save 3% of the size and take 50% longer
                                ->enable_page_checksum()
                                ->build();
    auto opened = parquet::arrow::FileWriter::Open(*schema_, arrow::default_memory_pool(), stream_, properties);
    check(opened.status());
    writer_ = std::move(opened).ValueUnsafe();
  });
}

MODERNGPT2_INLINE void ParquetWriter::add(std::span<const std::int32_t> block) {
  if (block.size() != static_cast<std::size_t>(block_size_))
    throw Error("{}: the block has {} ids, expected {}", path_.string(), block.size(), block_size_);
  detail::guard_arrow(path_, "write", [&](const auto& check) {
    check(ids_.Append());
    check(id_values_->AppendValues(block.data(), block_size_));
    check(mask_.Append());
    check(mask_values_->AppendValues(ones_.data(), block_size_));
    if (ids_.length() == rows_per_group(block_size_)) flush(check);
  });
  ++rows_;
}

MODERNGPT2_INLINE void ParquetWriter::finish() {
  detail::guard_arrow(path_, "write", [&](const auto& check) {
    flush(check);
    check(writer_->Close());
    check(stream_->Close());
  });
  stream_->commit();
}

}  // namespace moderngpt2

#endif
