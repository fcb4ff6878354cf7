#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#ifdef MODERNGPT2_HAVE_PARQUET
#if !__has_include(<arrow/api.h>)
#error "moderngpt2: <arrow/api.h> not found: link moderngpt2::data, or compile without MODERNGPT2_HAVE_PARQUET"
#endif
#include <arrow/api.h>
#include <arrow/io/file.h>
#include <parquet/arrow/reader.h>
#include <parquet/file_reader.h>
#include <parquet/statistics.h>
#endif

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/arrow_error.hpp"

namespace moderngpt2 {

/// Decoded row group: ids and mask of shape (rows, block_size). The mask is empty if all its values are 1.
struct BlockGroup {
  std::int64_t first_row = 0, rows = 0;
  std::vector<std::int32_t> ids;
  std::vector<std::int8_t> mask;

  std::size_t bytes() const { return ids.size() * sizeof(std::int32_t) + mask.size(); }
};

/// Reader of a shard of token blocks.
class BlockReader {
 public:
  virtual ~BlockReader() = default;

  std::int64_t rows() const { return group_starts_.back(); }
  /// Ids per row according to the footer; 0 for a file without rows.
  int block_size() const { return block_size_; }
  int groups() const { return static_cast<int>(group_starts_.size()) - 1; }
  /// First row of each group, then the number of rows.
  const std::vector<std::int64_t>& group_starts() const { return group_starts_; }

  /// Decodes a row group. Throws Error that names the row for a length other than block_size() or an id that is
  /// negative or not below `vocab_size` (0: no limit).
  virtual BlockGroup read(int group, std::int64_t vocab_size) = 0;

 protected:
  std::vector<std::int64_t> group_starts_;
  int block_size_ = 0;
};

namespace detail {

/// Opens a Parquet shard; null unless a source file of the program was compiled with MODERNGPT2_HAVE_PARQUET. Class
/// layouts and the functions below are therefore the same in files with and without it.
inline std::unique_ptr<BlockReader> (*arrow_block_reader)(const std::filesystem::path&) = nullptr;

}  // namespace detail

/// Opens a Parquet shard of token blocks. Throws Error for a file with other columns or types, and in programs without
/// Parquet.
inline std::unique_ptr<BlockReader> open_blocks(const std::filesystem::path& path) {
  if (!detail::arrow_block_reader) detail::refuse_parquet(path);
  return detail::arrow_block_reader(path);
}

#ifdef MODERNGPT2_HAVE_PARQUET

/// Reader of a Parquet shard of token blocks. `input_ids` is a list, large_list or fixed_size_list of int32 or int64,
/// with rows of equal length. `attention_mask` is optional, a list of integers or booleans. Other columns are ignored.
class ParquetReader final : public BlockReader {
 public:
  /// Opens the file and reads its footer. All members throw Error for a file with other columns or types.
  explicit ParquetReader(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  BlockGroup read(int group, std::int64_t vocab_size) override;

 private:
  static bool is_list(const arrow::DataType& type);

  void check_types(const arrow::Schema& schema);

  static std::string names(const arrow::Schema& schema);

  // Finds the leaf columns to decode, the row groups, and the block size from the number of leaf values.
  void find_columns();

  // Whether the statistics of a group's mask show that all values are 1, so that decoding can be skipped.
  bool all_ones(int group) const;

  // Appends the values of a list column and checks the length of each row.
  template <class T>
  void append(const arrow::RecordBatch& batch, const std::string& name, std::int64_t row, std::vector<T>& out) {
    const std::shared_ptr<arrow::Array> column = batch.GetColumnByName(name);
    if (!column) throw Error("{}: the column '{}' cannot be read", path_.string(), name);
    switch (column->type_id()) {
      case arrow::Type::LARGE_LIST:
        return append_rows(static_cast<const arrow::LargeListArray&>(*column), name, row, out);
      case arrow::Type::FIXED_SIZE_LIST:
        return append_rows(static_cast<const arrow::FixedSizeListArray&>(*column), name, row, out);
      case arrow::Type::LIST:
        return append_rows(static_cast<const arrow::ListArray&>(*column), name, row, out);
      default:
        throw Error("{}: the column '{}' is {}, not a list", path_.string(), name, column->type()->ToString());
    }
  }

  template <class Lists, class T>
  void append_rows(const Lists& lists, const std::string& name, std::int64_t row, std::vector<T>& out) {
    const arrow::Array& values = *lists.values();
    for (std::int64_t i = 0; i < lists.length(); ++i) {
      const std::int64_t length = lists.IsNull(i) ? 0 : static_cast<std::int64_t>(lists.value_length(i));
      if (length != block_size_)
        throw Error("{}: row {}: '{}' has {} values where {} make a block", path_.string(), row + i, name, length,
                    block_size_);
      const std::int64_t begin = lists.value_offset(i);
      if (values.null_count() > 0) {
        for (std::int64_t k = begin; k < begin + length; ++k)
          if (values.IsNull(k)) throw Error("{}: row {}: '{}' holds a null", path_.string(), row + i, name);
      }
      append_values(values, begin, length, row + i, out);
    }
  }

  template <class T>
  void append_values(const arrow::Array& values, std::int64_t begin, std::int64_t count, std::int64_t row,
                     std::vector<T>& out) {
    const auto from = [&]<class Array>(const Array& array) {
      for (std::int64_t k = begin; k < begin + count; ++k) {
        const auto value = array.Value(k);
        if constexpr (sizeof(T) == 1) {
          out.push_back(value != 0);
        } else {
          if (value > std::numeric_limits<std::int32_t>::max() || value < 0)
            throw Error("{}: row {}: token id {} is out of range", path_.string(), row, value);
          out.push_back(static_cast<T>(value));
        }
      }
    };
    switch (values.type_id()) {
      case arrow::Type::INT32:
        return from(static_cast<const arrow::Int32Array&>(values));
      case arrow::Type::INT64:
        return from(static_cast<const arrow::Int64Array&>(values));
      default:
        break;
    }
    if constexpr (sizeof(T) == 1) {
      switch (values.type_id()) {
        case arrow::Type::INT8:
          return from(static_cast<const arrow::Int8Array&>(values));
        case arrow::Type::UINT8:
          return from(static_cast<const arrow::UInt8Array&>(values));
        case arrow::Type::INT16:
          return from(static_cast<const arrow::Int16Array&>(values));
        case arrow::Type::UINT16:
          return from(static_cast<const arrow::UInt16Array&>(values));
        case arrow::Type::UINT32:
          return from(static_cast<const arrow::UInt32Array&>(values));
        case arrow::Type::UINT64:
          return from(static_cast<const arrow::UInt64Array&>(values));
        case arrow::Type::BOOL:
          return from(static_cast<const arrow::BooleanArray&>(values));
        default:
          break;
      }
    }
    throw Error("{}: a column has the unsupported type {}", path_.string(), values.type()->ToString());
  }

  std::filesystem::path path_;
  std::unique_ptr<parquet::arrow::FileReader> reader_;
  int ids_column_ = -1, mask_column_ = -1;
};

namespace detail {

inline const bool reads_blocks = [] {
  arrow_block_reader = [](const std::filesystem::path& path) -> std::unique_ptr<BlockReader> {
    return std::make_unique<ParquetReader>(path);
  };
  return true;
}();

}  // namespace detail

#endif

}  // namespace moderngpt2

#if defined(MODERNGPT2_HAVE_PARQUET) && !defined(MODERNGPT2_DECLARE_RUNS)

namespace moderngpt2 {

MODERNGPT2_INLINE ParquetReader::ParquetReader(std::filesystem::path path) : path_(std::move(path)) {
  if (!std::filesystem::is_regular_file(path_)) throw Error("{}: no such file", path_.string());
  detail::guard_arrow(path_, "read", [&](const auto& check) {
    auto file = arrow::io::ReadableFile::Open(path_.string());
    check(file.status());
    parquet::ReaderProperties properties;
    properties.set_page_checksum_verification(true);
    parquet::arrow::FileReaderBuilder builder;
    check(builder.Open(file.ValueUnsafe(), properties));
    check(builder.Build(&reader_));
    std::shared_ptr<arrow::Schema> schema;
    check(reader_->GetSchema(&schema));
    check_types(*schema);
    find_columns();
    // Decoding takes memory for a batch of rows: 4 million ids, at least a row.
    constexpr std::int64_t batch_ids = std::int64_t{1} << 22;
    reader_->set_batch_size(std::max<std::int64_t>(1, batch_ids / std::max(block_size_, 1)));
  });
}

MODERNGPT2_INLINE BlockGroup ParquetReader::read(int group, std::int64_t vocab_size) {
  BlockGroup out;
  out.first_row = group_starts_[static_cast<std::size_t>(group)];
  out.rows = group_starts_[static_cast<std::size_t>(group) + 1] - out.first_row;
  detail::guard_arrow(path_, "read", [&](const auto& check) {
    const bool with_mask = mask_column_ >= 0 && !all_ones(group);
    auto read = reader_->GetRecordBatchReader(
        {group}, with_mask ? std::vector<int>{ids_column_, mask_column_} : std::vector<int>{ids_column_});
    check(read.status());
    const auto batches = std::move(read).ValueUnsafe();
    out.ids.reserve(static_cast<std::size_t>(std::min(out.rows * block_size_, std::int64_t{1} << 28)));
    if (with_mask) out.mask.reserve(out.ids.capacity());
    std::int64_t row = out.first_row;
    std::shared_ptr<arrow::RecordBatch> batch;
    while (check(batches->ReadNext(&batch)), batch) {
      append(*batch, "input_ids", row, out.ids);
      if (with_mask) append(*batch, "attention_mask", row, out.mask);
      row += batch->num_rows();
      if (row > out.first_row + out.rows) break;
    }
  });
  if (std::all_of(out.mask.begin(), out.mask.end(), [](std::int8_t one) { return one == 1; })) out.mask = {};
  if (out.ids.size() != static_cast<std::size_t>(out.rows * block_size_))
    throw Error("{}: row group {} does not have the number of rows in the footer", path_.string(), group);
  const std::int64_t limit = vocab_size > 0 ? vocab_size : std::int64_t{1} << 31;
  for (std::size_t i = 0; i < out.ids.size(); ++i) {
    if (out.ids[i] >= 0 && out.ids[i] < limit) continue;
    throw Error("{}: row {}: token id {} is outside the vocabulary of {} (was it made with another tokenizer?)",
                path_.string(), out.first_row + static_cast<std::int64_t>(i) / block_size_, out.ids[i], limit);
  }
  return out;
}

MODERNGPT2_INLINE bool ParquetReader::is_list(const arrow::DataType& type) {
  return type.id() == arrow::Type::LIST || type.id() == arrow::Type::LARGE_LIST ||
         type.id() == arrow::Type::FIXED_SIZE_LIST;
}

MODERNGPT2_INLINE void ParquetReader::check_types(const arrow::Schema& schema) {
  const auto field = [&](const char* name) {
    if (schema.GetAllFieldIndices(name).size() > 1)
      throw Error("{}: the column '{}' occurs twice; its columns are: {}", path_.string(), name, names(schema));
    return schema.GetFieldByName(name);
  };
  const std::shared_ptr<arrow::Field> ids = field("input_ids");
  if (!ids) {
    const bool is_text = std::any_of(schema.fields().begin(), schema.fields().end(), [](const auto& one) {
      return one->type()->id() == arrow::Type::STRING || one->type()->id() == arrow::Type::LARGE_STRING;
    });
    throw Error("{}: no column 'input_ids'; its columns are: {}{}", path_.string(), names(schema),
                is_text ? fmt::format(". Text is read with {}.", Setting{"input"}) : "");
  }
  const auto item = is_list(*ids->type()) ? ids->type()->field(0)->type()->id() : arrow::Type::NA;
  if (item != arrow::Type::INT32 && item != arrow::Type::INT64)
    throw Error("{}: the column 'input_ids' is {}, not a list of int32 or int64", path_.string(),
                ids->type()->ToString());
  const std::shared_ptr<arrow::Field> mask = field("attention_mask");
  if (mask && (!is_list(*mask->type()) || !(arrow::is_integer(mask->type()->field(0)->type()->id()) ||
                                            mask->type()->field(0)->type()->id() == arrow::Type::BOOL)))
    throw Error("{}: the column 'attention_mask' is {}, not a list of integers", path_.string(),
                mask->type()->ToString());
}

MODERNGPT2_INLINE std::string ParquetReader::names(const arrow::Schema& schema) {
  std::string list;
  for (const std::string& name : schema.field_names()) list += (list.empty() ? "" : ", ") + name;
  return list.empty() ? "none" : list;
}

MODERNGPT2_INLINE void ParquetReader::find_columns() {
  const std::shared_ptr<parquet::FileMetaData> metadata = reader_->parquet_reader()->metadata();
  for (int i = 0; i < metadata->num_columns(); ++i) {
    const std::string root = metadata->schema()->Column(i)->path()->ToDotVector()[0];
    if (root == "input_ids") ids_column_ = i;
    if (root == "attention_mask") mask_column_ = i;
  }
  group_starts_.push_back(0);
  for (int g = 0; g < metadata->num_row_groups(); ++g) {
    const std::unique_ptr<parquet::RowGroupMetaData> group = metadata->RowGroup(g);
    const std::int64_t rows = group->num_rows(), values = group->ColumnChunk(ids_column_)->num_values();
    if (rows < 0 || rows > std::int64_t{1} << 40 || values > std::int64_t{1} << 40)
      throw Error("{}: row group {} has {} rows and {} ids, expected at most 2^40 of each: the file is damaged",
                  path_.string(), g, rows, values);
    group_starts_.push_back(group_starts_.back() + rows);
    if (rows == 0) continue;
    if (values % rows != 0 || values < rows || values / rows > std::numeric_limits<int>::max())
      throw Error("{}: row group {} has {} ids in {} rows: the rows are not of one length", path_.string(), g, values,
                  rows);
    if (block_size_ == 0) block_size_ = static_cast<int>(values / rows);
    if (values / rows != block_size_)
      throw Error("{}: row group {} has blocks of {} ids, those before of {}", path_.string(), g, values / rows,
                  block_size_);
  }
}

MODERNGPT2_INLINE bool ParquetReader::all_ones(int group) const {
  const auto metadata = reader_->parquet_reader()->metadata()->RowGroup(group);
  const std::shared_ptr<parquet::Statistics> statistics = metadata->ColumnChunk(mask_column_)->statistics();
  if (!statistics || !statistics->HasMinMax() || statistics->physical_type() != parquet::Type::INT32) return false;
  const auto& range = static_cast<const parquet::Int32Statistics&>(*statistics);
  return range.min() == 1 && range.max() == 1 && statistics->num_values() == metadata->num_rows() * block_size_;
}

}  // namespace moderngpt2

#endif
