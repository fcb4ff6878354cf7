#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <arrow/api.h>
#include <arrow/io/file.h>
#include <doctest/doctest.h>
#include <parquet/arrow/writer.h>

#include "io/expect_error.hpp"
#include "moderngpt2/data/parquet_rows.hpp"
#include "moderngpt2/data/tasks/question_examples.hpp"
#include "moderngpt2/data/tasks/sequence_examples.hpp"
#include "moderngpt2/data/tasks/token_examples.hpp"
#include "moderngpt2/io/file.hpp"
#include "support/letter_tokenizer.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

using Column = std::pair<std::string, std::shared_ptr<arrow::Array>>;
using Strings = std::vector<std::string>;

template <class Builder, class Values>
std::shared_ptr<arrow::Array> array(const Values& values) {
  Builder builder;
  for (const auto& value : values) REQUIRE(builder.Append(value).ok());
  return builder.Finish().ValueOrDie();
}
std::shared_ptr<arrow::Array> strings(const Strings& values) { return array<arrow::StringBuilder>(values); }
std::shared_ptr<arrow::Array> ints(const std::vector<std::int64_t>& values) {
  return array<arrow::Int64Builder>(values);
}

/// List column whose row i has the values from offsets[i] to offsets[i + 1].
template <class List = arrow::ListArray, class Offset = std::int32_t>
std::shared_ptr<arrow::Array> lists(const std::vector<Offset>& offsets, const std::shared_ptr<arrow::Array>& values) {
  using OffsetBuilder = typename arrow::CTypeTraits<Offset>::BuilderType;
  return List::FromArrays(*array<OffsetBuilder>(offsets), *values).ValueOrDie();
}

std::shared_ptr<arrow::Array> with_null_at(std::int64_t row, const std::shared_ptr<arrow::Array>& whole) {
  const auto null = arrow::MakeArrayOfNull(whole->type(), 1).ValueOrDie();
  return arrow::Concatenate({whole->Slice(0, row), null, whole->Slice(row + 1)}).ValueOrDie();
}

struct RowsFixture {
  TemporaryFolder folder;
  std::string path = (folder / "rows.parquet").string();

  /// `features`: metadata that the library `datasets` writes with the schema.
  void write(const std::vector<Column>& columns, std::int64_t rows_per_group = 2, const std::string& features = "") {
    arrow::FieldVector fields;
    arrow::ArrayVector arrays;
    for (const auto& [name, values] : columns) {
      fields.push_back(arrow::field(name, values->type()));
      arrays.push_back(values);
    }
    auto schema = arrow::schema(fields);
    if (!features.empty())
      schema = schema->WithMetadata(
          arrow::key_value_metadata({"huggingface"}, {R"({"info": {"features": )" + features + "}}"}));
    const auto file = arrow::io::FileOutputStream::Open(path).ValueOrDie();
    const auto properties = parquet::ArrowWriterProperties::Builder().store_schema()->build();
    REQUIRE(parquet::arrow::WriteTable(*arrow::Table::Make(schema, arrays), arrow::default_memory_pool(), file,
                                       rows_per_group, parquet::default_writer_properties(), properties)
                .ok());
    REQUIRE(file->Close().ok());
  }

  /// Rows as JSON objects.
  Strings read(const std::string& from = "") {
    Strings rows;
    std::int64_t number = 0;
    for_each_row({from.empty() ? path : from}, open_parquet_rows, [&](const DataRow& row, const RowReader&) {
      CHECK(row.place.line == ++number);
      CHECK(row.place.text() == *row.place.file + ":" + std::to_string(number));
      rows.push_back(row.fields.dump());
    });
    return rows;
  }

  /// Examples of a file's rows. `finish` receives the store and its labels.
  template <class Store, class Finish>
  Store examples(const std::string& file, Finish&& finish) {
    write_letter_tokenizer(folder / "tokenizer");
    const Tokenizer tokenizer = Tokenizer::load(folder / "tokenizer");
    Store store;
    LabelSet labels;
    ExampleOptions options;
    options.block_size = 64;
    TextEncoder encoder(tokenizer, options.block_size);
    for_each_row({file}, open_parquet_rows, [&](const DataRow& row, const RowReader& reader) {
      store.add(row, reader, encoder, labels, options);
    });
    labels.finish();
    finish(store, labels);
    return store;
  }
};

std::vector<std::vector<int>> content(const RaggedRows& rows) {
  std::vector<std::vector<int>> all;
  for (std::int64_t i = 0; i < rows.size(); ++i) all.emplace_back(rows[i].begin(), rows[i].end());
  return all;
}

}  // namespace

TEST_CASE_FIXTURE(RowsFixture, "rows of Parquet are the objects that JSON lines would be, over groups of rows") {
  const auto flags = array<arrow::BooleanBuilder>(std::vector<bool>{true, false, true});
  const auto answer = arrow::StructArray::Make(
      {lists<>({0, 1, 1, 3}, strings({"a", "b", "c"})), lists<>({0, 1, 1, 3}, ints({4, 5, 6}))}, Strings{"text", "at"});
  write({{"flag", flags},
         {"i8", array<arrow::Int8Builder>(std::vector<std::int8_t>{-1, 2, 3})},
         {"i16", array<arrow::Int16Builder>(std::vector<std::int16_t>{-300, 2, 3})},
         {"i32", array<arrow::Int32Builder>(std::vector<std::int32_t>{-70000, 2, 3})},
         {"i64", with_null_at(1, ints({std::int64_t{-1} << 40, 2, 3}))},
         {"u8", array<arrow::UInt8Builder>(std::vector<std::uint8_t>{255, 2, 3})},
         {"u16", array<arrow::UInt16Builder>(std::vector<std::uint16_t>{65535, 2, 3})},
         {"u32", array<arrow::UInt32Builder>(std::vector<std::uint32_t>{4000000000u, 2, 3})},
         {"u64", array<arrow::UInt64Builder>(std::vector<std::uint64_t>{18000000000000000000u, 2, 3})},
         {"f32", array<arrow::FloatBuilder>(std::vector<float>{0.5f, 2, 3})},
         {"f64", array<arrow::DoubleBuilder>(std::vector<double>{0.1, 2, 3})}});
  CHECK(
      read() ==
      Strings{R"({"flag":true,"i8":-1,"i16":-300,"i32":-70000,"i64":-1099511627776,"u8":255,"u16":65535,)"
              R"("u32":4000000000,"u64":18000000000000000000,"f32":0.5,"f64":0.1})",
              R"({"flag":false,"i8":2,"i16":2,"i32":2,"i64":null,"u8":2,"u16":2,"u32":2,"u64":2,"f32":2.0,"f64":2.0})",
              R"({"flag":true,"i8":3,"i16":3,"i32":3,"i64":3,"u8":3,"u16":3,"u32":3,"u64":3,"f32":3.0,"f64":3.0})"});

  const auto kinds = arrow::DictionaryArray::FromArrays(array<arrow::Int8Builder>(std::vector<std::int8_t>{1, 0, 1}),
                                                        strings({"cold", "warm"}))
                         .ValueOrDie();
  write({{"text", with_null_at(2, strings({"one", "\xe6\x97\xa5", "x"}))},
         {"long", array<arrow::LargeStringBuilder>(Strings{"a", "", "c"})},
         {"kind", kinds},  // a pandas category
         {"list", with_null_at(1, lists<>({0, 2, 2, 3}, ints({7, 8, 9})))},
         {"large", lists<arrow::LargeListArray, std::int64_t>({0, 1, 1, 2}, strings({"p", "q"}))},
         {"pair", arrow::FixedSizeListArray::FromArrays(ints({1, 2, 3, 4, 5, 6}), 2).ValueOrDie()},
         {"answer", answer.ValueOrDie()},
         {"nothing", arrow::MakeArrayOfNull(arrow::null(), 3).ValueOrDie()},
         {"bytes", array<arrow::BinaryBuilder>(Strings{"\xff", "", ""})}});
  CHECK(read() == Strings{R"({"text":"one","long":"a","kind":"warm","list":[7,8],"large":["p"],"pair":[1,2],)"
                          R"("answer":{"text":["a"],"at":[4]},"nothing":null,"bytes":{"type":"binary"}})",
                          R"({"text":"日","long":"","kind":"cold","list":null,"large":[],"pair":[3,4],)"
                          R"("answer":{"text":[],"at":[]},"nothing":null,"bytes":{"type":"binary"}})",
                          R"({"text":null,"long":"c","kind":"warm","list":[9],"large":["q"],"pair":[5,6],)"
                          R"("answer":{"text":["b","c"],"at":[5,6]},"nothing":null,"bytes":{"type":"binary"}})"});
  for (const int rows_per_group : {1, 3, 100}) {
    write({{"text", strings({"a", "b", "c"})}}, rows_per_group);
    CHECK(read() == Strings{R"({"text":"a"})", R"({"text":"b"})", R"({"text":"c"})"});
  }
}

TEST_CASE_FIXTURE(RowsFixture, "examples of Parquet are those of the same JSON lines") {
  const std::string lines = (folder / "rows.jsonl").string();
  const auto same = [&](const auto& a, const auto& b) { CHECK(content(a.rows) == content(b.rows)); };

  write_file(lines, "{\"text\": \"ab\", \"label\": \"no\"}\n{\"text\": \"c\", \"label\": \"yes\"}\n");
  const auto labels = arrow::DictionaryArray::FromArrays(array<arrow::Int8Builder>(std::vector<std::int8_t>{1, 0}),
                                                         strings({"yes", "no"}));
  write({{"text", strings({"ab", "c"})}, {"label", labels.ValueOrDie()}});
  const auto classes = [](SequenceExamples& store, const LabelSet& set) {
    store.finish(ProblemType::single_label, int(set.names().size()), set);
  };
  const auto a = examples<SequenceExamples>(path, classes), b = examples<SequenceExamples>(lines, classes);
  same(a, b);
  CHECK(a.classes == b.classes);
  CHECK(a.names == Strings{"no", "yes"});

  write_file(lines, R"({"question": "who?", "context": "é, ann did", "answers": {"text": ["ann"], "answer_start": [3]}}
{"question": "why?", "context": "ann did", "answers": {"text": [], "answer_start": []}})");
  const auto answers = arrow::StructArray::Make(
      {lists<>({0, 1, 1}, strings({"ann"})), lists<>({0, 1, 1}, array<arrow::Int32Builder>(std::vector<int>{3}))},
      Strings{"text", "answer_start"});
  write({{"question", strings({"who?", "why?"})},
         {"context", strings({"é, ann did", "ann did"})},
         {"answers", answers.ValueOrDie()}});
  const auto nothing = [](QuestionExamples&, const LabelSet&) {};
  const auto c = examples<QuestionExamples>(path, nothing), d = examples<QuestionExamples>(lines, nothing);
  same(c, d);
  REQUIRE(c.windows.size() == 2);
  CHECK(c.windows[0].start > 0);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(c.windows[i].start == d.windows[i].start);
    CHECK(c.windows[i].end == d.windows[i].end);
    CHECK(c.questions[i].answers == d.questions[i].answers);
  }
}

TEST_CASE_FIXTURE(RowsFixture, "class names that the library datasets wrote") {
  const std::string names = R"({"names": ["O", "B-X"], "_type": "ClassLabel"})";
  for (const std::string& feature :
       {names, "[" + names + "]", R"({"feature": )" + names + R"(, "_type": "Sequence"})"}) {
    CAPTURE(feature);
    write({{"tokens", lists<>({0, 2}, strings({"a", "b"}))}, {"ner_tags", lists<>({0, 2}, ints({1, 0}))}}, 2,
          R"({"ner_tags": )" + feature + "}");
    const auto made =
        examples<TokenExamples>(path, [](TokenExamples& store, const LabelSet& set) { store.finish(set); });
    CHECK(made.names == Strings{"O", "B-X"});
    CHECK(content(made.labels)[0] == std::vector<int>{1, 0, ignored_label});  // labels of a, a space, b
  }
  write({{"text", strings({"a"})}, {"label", ints({1})}}, 2, R"({"label": {"dtype": "int64", "_type": "Value"}})");
  const auto made = examples<SequenceExamples>(
      path, [](SequenceExamples& store, const LabelSet& set) { store.finish(ProblemType::single_label, 2, set); });
  CHECK(made.names == Strings{"LABEL_0", "LABEL_1"});
}

TEST_CASE("rows of a column over 2 GiB in one row group are read in batches") {
  const std::filesystem::path path = std::filesystem::path(MODERNGPT2_TEST_DATA) / "parquet/two_gib_column.parquet";
  const auto reader = open_parquet_rows(TextFile{path, text_format(path), "text", 0});
  Json fields;
  std::int64_t line = 0;
  for (int row = 1; row <= 40; ++row) {  // 2300 rows, each with a string of 1 MiB
    REQUIRE(reader->next(fields, line));
    CHECK(line == row);
    CHECK(fields["z"].get_ref<const std::string&>().size() == std::size_t{1} << 20);
  }
}

TEST_CASE_FIXTURE(RowsFixture, "Parquet files of rows that cannot be read") {
  write({{"text", strings({"a", "b"})}, {"text", strings({"c", "d"})}});
  CHECK_ERROR(read(), "rows.parquet", "\"text\" occurs twice");
  CHECK_ERROR(ParquetRowReader(TextFile{folder / "none.parquet", {}, ""}), "none.parquet", "no such file");
  write({{"text", strings({"a", "b"})}});
  const std::string whole = read_file(path);
  for (const std::string& damaged : {std::string("PAR1"), std::string("no Parquet at all"), whole.substr(0, 60),
                                     whole.substr(0, whole.size() - 5), whole.substr(20)}) {
    write_file(folder / "damaged.parquet", damaged);
    CHECK_ERROR(read((folder / "damaged.parquet").string()), "damaged.parquet");
  }
  write({{"text", strings({})}});
  CHECK_ERROR(read(), "rows.parquet", "no row");
  write({{"text", ints({1})}, {"label", ints({1})}});
  CHECK_ERROR(examples<SequenceExamples>(path, [](SequenceExamples&, const LabelSet&) {}), "rows.parquet:1",
              "must be a string");
}
