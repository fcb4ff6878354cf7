// Rows of Parquet files, and the class names in their metadata.
#include "moderngpt2/data/parquet_rows.hpp"
#include "parquet_mutator.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  const auto text = array<arrow::StringBuilder, const char*>({"one", "two", "three"});
  const auto labels = array<arrow::Int64Builder, std::int64_t>({0, 1, 0});
  const auto scores = array<arrow::DoubleBuilder, double>({0.5, 1.5, 2.5});
  const auto words = lists(2, array<arrow::StringBuilder, const char*>({"a", "b", "c", "d", "a", "b"}));
  const auto tags = lists(2, array<arrow::Int64Builder, std::int64_t>({0, 1, 1, 0, 1, 1}));
  const auto record = arrow::StructArray::Make({words, tags}, std::vector<std::string>{"text", "label"}).ValueOrDie();
  const std::string features = R"({"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}})";
  for (const bool checksums : {false, true}) {
    seeds.add(parquet_bytes(table({{"text", text}, {"label", labels}}, features), 2, checksums));
    seeds.add(parquet_bytes(table({{"text", text}, {"label", scores}, {"tokens", words}}), 3, checksums));
    seeds.add(parquet_bytes(table({{"choices", record}, {"text", text}}), 2, checksums));
  }
}

void fuzz::run(std::string_view input) {
  const std::filesystem::path path = file("rows.parquet", input);
  const auto reader = open_parquet_rows({path, text_format(path), "text", static_cast<std::int64_t>(input.size())});
  (void)accepted([&] { return reader->class_names("label"); });
  std::int64_t line = 0;
  for (Json fields; line < 10000 && reader->next(fields, line);) check_message(column_names(fields).substr(0, 1000));
}
