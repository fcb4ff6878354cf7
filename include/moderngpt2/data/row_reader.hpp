#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/document_reader.hpp"
#include "moderngpt2/data/json_objects.hpp"
#include "moderngpt2/data/open_bytes.hpp"
#include "moderngpt2/data/text_encoding.hpp"
#include "moderngpt2/data/text_files.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/json_string.hpp"

namespace moderngpt2 {

/// Position of a row: line of a file, or row of a Parquet file, from 1.
struct RowPlace {
  std::shared_ptr<const std::string> file;
  std::int64_t line = 0;

  std::string text() const { return file ? fmt::format("{}:{}", *file, line) : "row"; }
};

/// Row of a data set: an object with named fields.
struct DataRow {
  Json fields;
  RowPlace place;
};

/// Reader of a file's rows. Threads: one at a time.
class RowReader {
 public:
  virtual ~RowReader() = default;
  /// Reads the next row's fields and its number. Returns false at the end. Throws Error that names file and row.
  virtual bool next(Json& fields, std::int64_t& line) = 0;
  /// Class names by id, if the file's metadata names the integers of a column (or of its lists); otherwise empty.
  virtual std::vector<std::string> class_names(const std::string& /*column*/) const { return {}; }
};

/// Rows of a JSON file, which may be compressed: see JsonObjectReader. NaN and infinite numbers become null.
class JsonRowReader final : public RowReader {
 public:
  explicit JsonRowReader(TextFile file) : file_(std::move(file)), objects_(file_, max_row_bytes) {}

  bool next(Json& fields, std::int64_t& line) override;

 private:
  static constexpr std::size_t max_row_bytes = std::size_t{1} << 26;
  TextFile file_;
  JsonObjectReader objects_;
};

/// Function that opens a Parquet file of rows: open_parquet_rows (parquet_rows.hpp) in programs that link Arrow.
using OpenParquetRows = std::unique_ptr<RowReader> (*)(const TextFile& file);

/// Calls f(DataRow&, const RowReader&) for each row of the files, globs and folders `inputs`, in order. `part`: files
/// of folders to read. Throws Error for an input that matches no file, and if there are no rows at all.
template <class F>
void for_each_row(const std::vector<std::string>& inputs, OpenParquetRows open_parquet, F&& f,
                  TextPart part = TextPart::train) {
  std::int64_t rows = 0;
  for (const TextFile& file : find_text_files(inputs, part)) {
    std::unique_ptr<RowReader> reader;
    if (file.format.content == TextFormat::Content::json_lines)
      reader = std::make_unique<JsonRowReader>(file);
    else if (file.format.content == TextFormat::Content::parquet && open_parquet)
      reader = open_parquet(file);
    else
      throw Error("{}: examples are read from .json, .jsonl and .ndjson, also with .gz or .zst, and .parquet",
                  file.path.string());
    DataRow row{Json::object(), {std::make_shared<const std::string>(file.path.string()), 0}};
    for (; reader->next(row.fields, row.place.line); ++rows) f(row, *reader);
  }
  if (rows == 0) throw Error("{}: contains no row", fmt::format("{}", fmt::join(inputs, ", ")));
}

/// Names of the fields of a row, for messages.
std::string column_names(const Json& fields);

/// Returns the first of `names` that is a field of the row, or nullptr.
inline const Json* first_column(const Json& fields, const std::vector<std::string>& names) {
  for (const std::string& name : names)
    if (const auto found = fields.find(name); found != fields.end()) return &*found;
  return nullptr;
}

/// Returns the first of `names` that is a column of the row. Throws Error without one: it names the row, the missing
/// column, the columns of the row and, if not empty, the setting that chooses the column.
inline const Json& require_column(const DataRow& row, const std::vector<std::string>& names, std::string_view what,
                                  std::string_view setting) {
  if (const Json* found = first_column(row.fields, names)) return *found;
  throw Error("{}: no {} (looked for {}); the columns are {}{}", row.place.text(), what, fmt::join(names, ", "),
              column_names(row.fields), setting.empty() ? "" : fmt::format(". Name it with {}", Setting{setting}));
}

/// Returns a field as text. Throws Error that names the row if it is not a string of UTF-8.
std::string text_of(const Json& value, std::string_view column, const RowPlace& place);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE std::string column_names(const Json& fields) {
  std::string names;
  for (const auto& [name, value] : fields.items()) {
    names += (names.empty() ? "" : ", ") + excerpt(name, 40);
    if (value.is_array() && !value.empty() && value[0].is_object())
      names += " (a list of objects; if these are the rows, write them as JSON lines)";
  }
  return names.empty() ? "none" : names;
}

MODERNGPT2_INLINE std::string text_of(const Json& value, std::string_view column, const RowPlace& place) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (const std::size_t valid = valid_utf8_prefix(text); valid != text.size()) {
      const std::string_view encoding = guess_encoding(text);
      throw Error("{}: {} is not UTF-8 from byte {} on{}{}. Convert the column to UTF-8.", place.text(), column,
                  valid + 1, encoding.empty() ? "" : ", it looks like ", encoding);
    }
    return text;
  }
  throw Error("{}: {} must be a string, found {}", place.text(), column, detail::json_excerpt(value));
}

}  // namespace moderngpt2

namespace moderngpt2 {

MODERNGPT2_INLINE bool JsonRowReader::next(Json& fields, std::int64_t& line) {
  std::string reason;
  const JsonObjectReader::Result result = objects_.next(reason);
  if (result == JsonObjectReader::Result::end) return false;
  line = objects_.line();
  const std::string where = fmt::format("{}:{}", file_.path.string(), line);
  const std::string_view text = objects_.text();
  if (find_invalid_utf8(text).bytes > 0)
    throw Error("{}: the line is not UTF-8. {}", where,
                encoding_advice(file_, line == 1 ? read_beginning(file_, std::size_t{1} << 16) : std::string(text)));
  if (result == JsonObjectReader::Result::skipped) throw Error("{}: {}", where, reason);
  fields = objects_.scanner().has_nan() ? parse_json(detail::nan_as_null(text), where) : parse_json(text, where);
  return true;
}

}  // namespace moderngpt2

#endif
