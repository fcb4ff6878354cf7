#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#ifdef MODERNGPT2_HAVE_PARQUET
#if !__has_include(<arrow/io/file.h>)
#error "moderngpt2: <arrow/io/file.h> not found: link moderngpt2::data, or compile without MODERNGPT2_HAVE_PARQUET"
#endif
#include <arrow/io/file.h>
#include <parquet/column_reader.h>
#include <parquet/file_reader.h>
#include <parquet/schema.h>
#endif

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/arrow_error.hpp"
#include "moderngpt2/data/document_reader.hpp"
#include "moderngpt2/data/line_reader.hpp"
#include "moderngpt2/data/source_options.hpp"
#include "moderngpt2/data/text_files.hpp"

namespace moderngpt2 {

namespace detail {

/// Opens a Parquet file of text; null unless a source file of the program was compiled with MODERNGPT2_HAVE_PARQUET.
inline SourceOptions::OpenParquet arrow_text_reader = nullptr;

}  // namespace detail

/// Opens a Parquet file; a value of SourceOptions::open_parquet. Throws Error in programs without Parquet.
inline std::unique_ptr<DocumentReader> open_parquet_text(const TextFile& file, const std::string& text_column,
                                                         std::size_t max_document_bytes) {
  if (!detail::arrow_text_reader) detail::refuse_parquet(file.path);
  return detail::arrow_text_reader(file, text_column, max_document_bytes);
}

#ifdef MODERNGPT2_HAVE_PARQUET

/// Documents in a text column (string, large_string or binary) of a Parquet file: one for each row that is not null or
/// empty. Read page by page, so memory does not grow with the file or its row groups.
class ParquetDocumentReader final : public DocumentReader {
 public:
  /// Throws Error, as next() does for a damaged file, if the file has no such column; the message lists the columns.
  ParquetDocumentReader(TextFile file, std::string column, std::size_t max_bytes);

  Result next(Document& out, std::string&) override;

  std::int64_t position() const override;

 private:
  static constexpr std::int64_t batch_size = 256;

  void find_column();

  // Sets rest_ to the next row's text, empty for null.
  bool next_text();

  // Reads the next values of the current page; they are valid until the next call.
  bool read_batch();

  TextFile file_;
  std::string column_name_;
  std::size_t max_bytes_;
  std::unique_ptr<parquet::ParquetFileReader> reader_;
  std::shared_ptr<parquet::ByteArrayReader> values_reader_;
  int column_ = -1, group_ = 0;
  std::int16_t max_definition_ = 0;
  std::array<std::int16_t, batch_size> definitions_{};
  std::array<parquet::ByteArray, batch_size> values_{};
  std::size_t levels_ = 0, level_ = 0, value_ = 0;
  std::string_view rest_;  // rest of the current text
  std::int64_t row_ = 0;   // from 1
};

namespace detail {

inline const bool reads_text = [] {
  arrow_text_reader = [](const TextFile& file, const std::string& text_column,
                         std::size_t max_document_bytes) -> std::unique_ptr<DocumentReader> {
    return std::make_unique<ParquetDocumentReader>(file, text_column, max_document_bytes);
  };
  return true;
}();

}  // namespace detail

#endif

}  // namespace moderngpt2

#if defined(MODERNGPT2_HAVE_PARQUET) && !defined(MODERNGPT2_DECLARE_RUNS)

namespace moderngpt2 {

MODERNGPT2_INLINE ParquetDocumentReader::ParquetDocumentReader(TextFile file, std::string column, std::size_t max_bytes)
    : file_(std::move(file)), column_name_(std::move(column)), max_bytes_(max_bytes) {
  if (!std::filesystem::is_regular_file(file_.path)) throw Error("{}: no such file", file_.path.string());
  detail::guard_arrow(file_.path, "read", [&](const auto& check) {
    auto opened = arrow::io::ReadableFile::Open(file_.path.string());
    check(opened.status());
    parquet::ReaderProperties properties;
    properties.enable_buffered_stream();
    properties.set_page_checksum_verification(true);
    reader_ = parquet::ParquetFileReader::Open(opened.ValueUnsafe(), properties);
    find_column();
  });
}

MODERNGPT2_INLINE ParquetDocumentReader::Result ParquetDocumentReader::next(Document& out, std::string&) {
  out.file = file_.path.string();
  while (rest_.empty())
    if (!next_text()) return Result::end;
  std::string_view piece = rest_.substr(0, max_bytes_);
  if (piece.size() < rest_.size()) piece.remove_suffix(detail::unfinished_character(piece));
  out.text = piece;
  out.line = row_;
  rest_.remove_prefix(piece.size());
  text_bytes_ = TextBytes::of(out.text, row_, false);
  return Result::document;
}

MODERNGPT2_INLINE std::int64_t ParquetDocumentReader::position() const {
  const auto rows = static_cast<double>(std::max<std::int64_t>(1, reader_->metadata()->num_rows()));
  return static_cast<std::int64_t>(static_cast<double>(file_.bytes) * std::min(1.0, static_cast<double>(row_) / rows));
}

MODERNGPT2_INLINE void ParquetDocumentReader::find_column() {
  const parquet::SchemaDescriptor& schema = *reader_->metadata()->schema();
  const parquet::schema::GroupNode& root = *schema.group_node();
  std::string names;
  int equal_names = 0;
  for (int i = 0; i < root.field_count(); ++i) {
    names += (i ? ", " : "") + root.field(i)->name();
    equal_names += root.field(i)->name() == column_name_;
  }
  if (equal_names > 1)
    throw Error("{}: the column '{}' occurs twice; its columns are: {}", file_.path.string(), column_name_, names);
  if (names.empty()) names = "none";
  const int field = root.FieldIndex(column_name_);
  if (field < 0)
    throw Error(
        "{}: no column '{}'; its columns are: {}{}", file_.path.string(), column_name_, names,
        root.FieldIndex("input_ids") < 0 ? "" : ". These are blocks of tokens, not text: train on them directly.");
  const auto refuse = [&](const std::string& type) {
    throw Error("{}: the column '{}' is {}, not a string or binary; its columns are: {}", file_.path.string(),
                column_name_, type, names);
  };
  if (!root.field(field)->is_primitive()) refuse("a list, map or struct");
  column_ = schema.ColumnIndex(*root.field(field));
  const parquet::ColumnDescriptor& column = *schema.Column(column_);
  const parquet::LogicalType& logical = *column.logical_type();
  if (column.max_repetition_level() > 0) refuse("a list");
  if (column.physical_type() != parquet::Type::BYTE_ARRAY ||
      !(logical.is_none() || logical.is_string() || logical.is_JSON() || logical.is_enum()))
    refuse(logical.is_none() ? parquet::TypeToString(column.physical_type()) : logical.ToString());
  max_definition_ = column.max_definition_level();
}

MODERNGPT2_INLINE bool ParquetDocumentReader::next_text() {
  bool more = true;
  if (level_ == levels_) detail::guard_arrow(file_.path, "read", [&](const auto&) { more = read_batch(); });
  if (!more) return false;
  ++row_;
  if (max_definition_ > 0 && definitions_[level_++] < max_definition_) return true;
  if (max_definition_ == 0) ++level_;
  const parquet::ByteArray& text = values_[value_++];
  rest_ = {reinterpret_cast<const char*>(text.ptr), text.len};
  return true;
}

MODERNGPT2_INLINE bool ParquetDocumentReader::read_batch() {
  while (true) {
    if (values_reader_ && values_reader_->HasNext()) {
      std::int64_t values = 0;
      level_ = value_ = 0;
      levels_ = static_cast<std::size_t>(
          values_reader_->ReadBatch(batch_size, definitions_.data(), nullptr, values_.data(), &values));
      std::int64_t defined = max_definition_ > 0 ? 0 : static_cast<std::int64_t>(levels_);
      for (std::size_t i = 0; max_definition_ > 0 && i < levels_; ++i) defined += definitions_[i] == max_definition_;
      if (levels_ == 0 || defined != values) throw Error("{}: damaged row group {}", file_.path.string(), group_ - 1);
      return true;
    }
    if (group_ == reader_->metadata()->num_row_groups()) return false;
    values_reader_ = std::static_pointer_cast<parquet::ByteArrayReader>(reader_->RowGroup(group_++)->Column(column_));
  }
}

}  // namespace moderngpt2

#endif
