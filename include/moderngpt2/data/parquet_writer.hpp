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
#if !__has_include(<arrow/api.h>)
#error "moderngpt2: <arrow/api.h> not found: link moderngpt2::data, or compile without MODERNGPT2_HAVE_PARQUET"
#endif
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

/// Writes one shard of token blocks. finish() publishes the file. Used by one thread at a time.
class BlockWriter {
 public:
  virtual ~BlockWriter() = default;

  /// Appends a row of block_size ids.
  virtual void add(std::span<const std::int32_t> block) = 0;

  /// Writes the remaining rows and publishes the file.
  virtual void finish() = 0;

  std::int64_t rows() const { return rows_; }

 protected:
  std::int64_t rows_ = 0;
};

namespace detail {

/// Creates a Parquet shard; null unless a source file of the program was compiled with MODERNGPT2_HAVE_PARQUET.
inline std::unique_ptr<BlockWriter> (*arrow_block_writer)(const std::filesystem::path&, int block_size) = nullptr;

}  // namespace detail

/// Creates a Parquet shard of blocks of `block_size` tokens. Throws Error if the file cannot be written, and in
/// programs without Parquet.
inline std::unique_ptr<BlockWriter> create_blocks(const std::filesystem::path& path, int block_size) {
  if (!detail::arrow_block_writer) detail::refuse_parquet(path);
  return detail::arrow_block_writer(path, block_size);
}

#ifdef MODERNGPT2_HAVE_PARQUET

/// Writes one shard of blocks: columns `input_ids` (list<int32>) and `attention_mask` (list<int8>, all 1), zstd.
/// Deterministic for one version of Arrow. finish() publishes the file.
class ParquetWriter final : public BlockWriter {
 public:
  /// All members throw Error if the file cannot be written.
  ParquetWriter(std::filesystem::path path, int block_size);

  void add(std::span<const std::int32_t> block) override;
  void finish() override;

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
};

namespace detail {

inline const bool writes_blocks = [] {
  arrow_block_writer = [](const std::filesystem::path& path, int block_size) -> std::unique_ptr<BlockWriter> {
    return std::make_unique<ParquetWriter>(path, block_size);
  };
  return true;
}();

}  // namespace detail

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
