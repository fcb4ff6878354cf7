#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
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
#endif

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/arrow_error.hpp"
#include "moderngpt2/data/row_reader.hpp"

namespace moderngpt2 {

namespace detail {

/// Opens a Parquet file of rows; null unless a source file of the program was compiled with MODERNGPT2_HAVE_PARQUET.
inline OpenParquetRows arrow_row_reader = nullptr;

}  // namespace detail

/// Opens a Parquet file for for_each_row(). Throws Error in programs without Parquet.
inline std::unique_ptr<RowReader> open_parquet_rows(const TextFile& file) {
  if (!detail::arrow_row_reader) detail::refuse_parquet(file.path);
  return detail::arrow_row_reader(file);
}

#ifdef MODERNGPT2_HAVE_PARQUET

namespace detail {

/// Converts element `i` of an Arrow array to JSON: numbers, booleans, text, and lists and structs of these; categories
/// become their values; null stays null.
inline Json arrow_to_json(const arrow::Array& array, std::int64_t i, const std::string& where) {
  if (array.IsNull(i)) return nullptr;
  const auto number = [&]<class Array>(const Array& values) -> Json { return values.Value(i); };
  const auto text = [&]<class Array>(const Array& values) -> Json { return std::string(values.GetView(i)); };
  const auto list = [&]<class Array>(const Array& lists) {
    Json out = Json::array();
    for (std::int64_t k = 0; k < lists.value_length(i); ++k)
      out.push_back(arrow_to_json(*lists.values(), lists.value_offset(i) + k, where));
    return out;
  };
  switch (array.type_id()) {
    case arrow::Type::BOOL:
      return number(static_cast<const arrow::BooleanArray&>(array));
    case arrow::Type::INT8:
      return number(static_cast<const arrow::Int8Array&>(array));
    case arrow::Type::INT16:
      return number(static_cast<const arrow::Int16Array&>(array));
    case arrow::Type::INT32:
      return number(static_cast<const arrow::Int32Array&>(array));
    case arrow::Type::INT64:
      return number(static_cast<const arrow::Int64Array&>(array));
    case arrow::Type::UINT8:
      return number(static_cast<const arrow::UInt8Array&>(array));
    case arrow::Type::UINT16:
      return number(static_cast<const arrow::UInt16Array&>(array));
    case arrow::Type::UINT32:
      return number(static_cast<const arrow::UInt32Array&>(array));
    case arrow::Type::UINT64:
      return number(static_cast<const arrow::UInt64Array&>(array));
    case arrow::Type::FLOAT:
      return number(static_cast<const arrow::FloatArray&>(array));
    case arrow::Type::DOUBLE:
      return number(static_cast<const arrow::DoubleArray&>(array));
    case arrow::Type::STRING:
      return text(static_cast<const arrow::StringArray&>(array));
    case arrow::Type::LARGE_STRING:
      return text(static_cast<const arrow::LargeStringArray&>(array));
    case arrow::Type::LIST:
      return list(static_cast<const arrow::ListArray&>(array));
    case arrow::Type::LARGE_LIST:
      return list(static_cast<const arrow::LargeListArray&>(array));
    case arrow::Type::FIXED_SIZE_LIST:
      return list(static_cast<const arrow::FixedSizeListArray&>(array));
    case arrow::Type::DICTIONARY: {
      const auto& categories = static_cast<const arrow::DictionaryArray&>(array);
      return arrow_to_json(*categories.dictionary(), categories.GetValueIndex(i), where);
    }
    case arrow::Type::STRUCT: {
      const auto& fields = static_cast<const arrow::StructArray&>(array);
      Json out = Json::object();
      for (int k = 0; k < fields.num_fields(); ++k)
        out[fields.type()->field(k)->name()] = arrow_to_json(*fields.field(k), i, where);
      return out;
    }
    default:
      // Other types are allowed in columns that no task reads.
      return Json{{"type", array.type()->ToString()}};
  }
}

}  // namespace detail

/// Rows of a Parquet file. A batch of rows is in memory at a time, not a row group.
class ParquetRowReader final : public RowReader {
 public:
  explicit ParquetRowReader(const TextFile& file);

  bool next(Json& fields, std::int64_t& line) override;

  /// Class names from the metadata that the library `datasets` writes for ClassLabel features.
  std::vector<std::string> class_names(const std::string& column) const override;

 private:
  bool next_batch();

  std::filesystem::path path_;
  std::unique_ptr<parquet::arrow::FileReader> reader_;
  std::shared_ptr<arrow::Schema> schema_;
  std::unique_ptr<arrow::RecordBatchReader> batches_;  // reads from reader_
  std::shared_ptr<arrow::RecordBatch> batch_;
  std::int64_t row_ = 0, line_ = 0;
};

namespace detail {

inline const bool reads_rows = [] {
  arrow_row_reader = [](const TextFile& file) -> std::unique_ptr<RowReader> {
    return std::make_unique<ParquetRowReader>(file);
  };
  return true;
}();

}  // namespace detail

#endif

}  // namespace moderngpt2

#if defined(MODERNGPT2_HAVE_PARQUET) && !defined(MODERNGPT2_DECLARE_RUNS)

namespace moderngpt2 {

MODERNGPT2_INLINE ParquetRowReader::ParquetRowReader(const TextFile& file) : path_(file.path) {
  if (!std::filesystem::is_regular_file(path_)) throw Error("{}: no such file", path_.string());
  detail::guard_arrow(path_, "read", [&](const auto& check) {
    auto opened = arrow::io::ReadableFile::Open(path_.string());
    check(opened.status());
    parquet::arrow::FileReaderBuilder builder;
    check(builder.Open(opened.ValueUnsafe()));
    check(builder.Build(&reader_));
    check(reader_->GetSchema(&schema_));
    for (const std::string& name : schema_->field_names())
      if (schema_->GetAllFieldIndices(name).size() > 1)
        throw Error("{}: the column {} occurs twice", path_.string(), excerpt(name, 40));
    reader_->set_batch_size(32);
    auto batches = reader_->GetRecordBatchReader();
    check(batches.status());
    batches_ = std::move(batches).ValueUnsafe();
  });
}

MODERNGPT2_INLINE bool ParquetRowReader::next(Json& fields, std::int64_t& line) {
  while (!batch_ || row_ == batch_->num_rows())
    if (!next_batch()) return false;
  fields = Json::object();
  // push_back on the underlying vector: the map's insertion would compare all names.
  auto& members = fields.get_ref<Json::object_t&>();
  for (int c = 0; c < batch_->num_columns(); ++c)
    members.emplace_back(batch_->column_name(c), detail::arrow_to_json(*batch_->column(c), row_, path_.string()));
  ++row_;
  line = ++line_;
  return true;
}

MODERNGPT2_INLINE std::vector<std::string> ParquetRowReader::class_names(const std::string& column) const {
  const auto metadata = schema_->metadata();
  const int at = metadata ? metadata->FindKey("huggingface") : -1;
  if (at < 0) return {};
  const Json json = parse_json(metadata->value(at), path_.string() + ": huggingface metadata");
  const Json* feature = &json;
  for (const std::string& key : {std::string("info"), std::string("features"), column}) {
    if (!feature->is_object() || !feature->contains(key)) return {};
    feature = &(*feature)[key];
  }
  for (const char* inner : {"feature", "names"}) {  // the element type of a list
    if (feature->is_array() && feature->size() == 1) feature = &(*feature)[0];
    if (feature->is_object() && feature->contains(inner)) feature = &(*feature)[inner];
  }
  std::vector<std::string> names;
  if (feature->is_array())
    for (const Json& name : *feature) names.push_back(json_as<std::string>(name, "names", path_.string()));
  return names;
}

MODERNGPT2_INLINE bool ParquetRowReader::next_batch() {
  detail::guard_arrow(path_, "read", [&](const auto& check) {
    check(batches_->ReadNext(&batch_));
    if (batch_) check(batch_->ValidateFull());
  });
  row_ = 0;
  return batch_ != nullptr;
}

}  // namespace moderngpt2

#endif
