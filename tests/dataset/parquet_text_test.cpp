#include <memory>
#include <string>
#include <vector>

#include <arrow/api.h>
#include <arrow/io/file.h>
#include <doctest/doctest.h>
#include <parquet/arrow/writer.h>

#include "dataset/text_samples.hpp"
#include "moderngpt2/data/parquet_text.hpp"
#include "moderngpt2/data/source.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

using Texts = std::vector<std::string>;

struct Fixture {
  TemporaryFolder folder;
  SourceOptions options;

  Fixture() { options.open_parquet = &open_parquet_text; }

  template <class Builder = arrow::StringBuilder>
  static std::shared_ptr<arrow::Array> texts(const Texts& values, const std::vector<bool>& valid = {}) {
    Builder builder;
    for (std::size_t i = 0; i < values.size(); ++i)
      REQUIRE((valid.empty() || valid[i] ? builder.Append(values[i]) : builder.AppendNull()).ok());
    return builder.Finish().ValueOrDie();
  }

  void write(const std::string& name, const std::string& column, const std::shared_ptr<arrow::Array>& values,
             std::int64_t rows_per_group = 3, bool dictionary = true) {
    arrow::Int32Builder numbers;
    for (std::int64_t i = 0; i < values->length(); ++i) REQUIRE(numbers.Append(1).ok());
    const auto schema = arrow::schema({arrow::field("id", arrow::int32()), arrow::field(column, values->type())});
    const auto table = arrow::Table::Make(schema, {numbers.Finish().ValueOrDie(), values});
    const auto file = arrow::io::FileOutputStream::Open((folder / name).string()).ValueOrDie();
    parquet::WriterProperties::Builder properties;
    if (!dictionary) properties.disable_dictionary();
    properties.compression(parquet::Compression::SNAPPY)->data_pagesize(1000)->enable_page_checksum();
    REQUIRE(parquet::arrow::WriteTable(*table, arrow::default_memory_pool(), file, rows_per_group, properties.build())
                .ok());
    REQUIRE(file->Close().ok());
  }

  Texts read(const std::string& name) {
    options.inputs = {(folder / name).string()};
    DocumentSource source(options);
    Texts found;
    for (Document document; source.next(document);) {
      found.push_back(document.text);
      CHECK(document.line >= 1);
    }
    CHECK(source.bytes_read() <= source.total_bytes());
    return found;
  }

  std::string error(const std::string& name) {
    try {
      read(name);
    } catch (const Error& refused) {
      const std::string text = refused.what(), prefix = folder.path().string() + "/";
      CHECK(text.find('\n') == text.npos);
      return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
    }
    return "read";
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "columns of every type of text, nulls and empty texts left out") {
  const Texts values{"one", "", "two\nlines", "none", "\xe6\x97\xa5", "last"};
  const std::vector<bool> valid{true, true, true, false, true, true};
  const Texts expected{"one", "two\nlines", "\xe6\x97\xa5", "last"};
  write("a.parquet", "text", texts(values, valid));
  write("b.parquet", "text", texts<arrow::LargeStringBuilder>(values, valid));
  write("c.parquet", "text", texts<arrow::BinaryBuilder>(values, valid), 100, false);
  for (const char* name : {"a.parquet", "b.parquet", "c.parquet"}) CHECK(read(name) == expected);
  write("d.parquet", "content", texts(values, valid));
  CHECK(error("d.parquet") == "d.parquet: no column 'text'; its columns are: id, content");
  options.text_column = "content";
  CHECK(read("d.parquet") == expected);
}

TEST_CASE_FIXTURE(Fixture, "many rows, in pages and groups") {
  Texts values;
  std::vector<bool> valid;
  for (int i = 0; i < 5000; ++i) {
    values.push_back("row " + std::to_string(i) + std::string(static_cast<std::size_t>(i % 300), 'x'));
    valid.push_back(i % 7 != 0);
  }
  Texts expected;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (valid[i]) expected.push_back(values[i]);
  for (const bool dictionary : {false, true}) {
    write("a.parquet", "text", texts(values, valid), 1700, dictionary);
    CHECK(read("a.parquet") == expected);
    options.read_ahead_bytes = 1 << 16;
    CHECK(read("a.parquet") == expected);
  }
}

TEST_CASE_FIXTURE(Fixture, "a long text comes in pieces, cut between characters") {
  options.max_document_bytes = 1000;
  std::string text;
  while (text.size() < 5000) text += "a\xe6\x97\xa5\xf0\x9f\x98\x80";
  write("a.parquet", "text", texts({"before", text, "after"}));
  const Texts found = read("a.parquet");
  REQUIRE(found.size() > 6);
  std::string joined;
  for (std::size_t i = 1; i + 1 < found.size(); ++i) {
    CHECK(found[i].size() <= 1000);
    CHECK(detail::unfinished_character(found[i]) == 0);
    joined += found[i];
  }
  CHECK(joined == text);
}

TEST_CASE_FIXTURE(Fixture, "columns that hold no text, and files that are no Parquet") {
  arrow::Int64Builder numbers;
  REQUIRE(numbers.AppendValues(std::vector<std::int64_t>{1, 2}).ok());
  write("number.parquet", "text", numbers.Finish().ValueOrDie());
  CHECK(error("number.parquet") ==
        "number.parquet: the column 'text' is INT64, not a string or binary; its columns are: id, text");
  const auto strings = std::make_shared<arrow::StringBuilder>();
  arrow::ListBuilder list(arrow::default_memory_pool(), strings);
  REQUIRE(list.Append().ok());
  REQUIRE(strings->Append("x").ok());
  write("list.parquet", "text", list.Finish().ValueOrDie());
  CHECK(error("list.parquet").starts_with("list.parquet: the column 'text' is a list, map or struct"));

  write("good.parquet", "text", texts(Texts(500, std::string(2000, 'x') + "y")), 100, false);
  const std::string good = read_bytes(folder / "good.parquet");
  write_bytes(folder / "magic.parquet", "PARX" + good.substr(4, good.size() - 8) + "PARX");
  CHECK(error("magic.parquet").starts_with("magic.parquet: cannot read as Parquet"));
  write_bytes(folder / "short.parquet", good.substr(0, good.size() / 2));
  CHECK(error("short.parquet").starts_with("short.parquet: cannot read as Parquet"));
  write_bytes(folder / "empty.parquet", "");
  CHECK(error("empty.parquet").starts_with("empty.parquet: cannot read as Parquet"));
  std::string length = good;  // length of the footer, greater than the file
  length[length.size() - 5] = 0x7f;
  write_bytes(folder / "length.parquet", length);
  CHECK(error("length.parquet").starts_with("length.parquet: cannot read as Parquet"));
  for (std::size_t at = 100; at < 3000; at += 97) {
    std::string flipped = good;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
    write_bytes(folder / "flipped.parquet", flipped);
    CAPTURE(at);
    CHECK(error("flipped.parquet") != "");  // an error, or none in another column, but never a crash
  }
  options.open_parquet = nullptr;
  CHECK(error("good.parquet") == "good.parquet: this program cannot read Parquet files");
}
