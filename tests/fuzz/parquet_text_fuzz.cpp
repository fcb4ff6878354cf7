// Documents in the column "text" of Parquet files.
#include "moderngpt2/data/parquet_text.hpp"
#include "parquet_mutator.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  arrow::StringBuilder builder;
  if (!builder.Append("one").ok() || !builder.AppendNull().ok() || !builder.Append("caf\xC3\xA9").ok()) fail("seed");
  const auto text = builder.Finish().ValueOrDie();
  const auto numbers = array<arrow::Int64Builder, std::int64_t>({1, 2, 3});
  const auto binary = array<arrow::BinaryBuilder, const char*>({"one", "\xFF\xFE", "one"});
  for (const bool checksums : {false, true}) {
    seeds.add(parquet_bytes(table({{"text", text}, {"id", numbers}}), 2, checksums));
    seeds.add(parquet_bytes(table({{"id", numbers}, {"text", binary}}), 3, checksums));
  }
}

void fuzz::run(std::string_view input) {
  const std::filesystem::path path = file("text.parquet", input);
  const auto reader =
      open_parquet_text({path, text_format(path), "text", static_cast<std::int64_t>(input.size())}, "text", 64);
  std::string reason;
  std::int64_t rows = 0;
  for (Document document; rows < 10000 && reader->next(document, reason) == DocumentReader::Result::document; ++rows)
    if (document.text.size() > 64 || document.text.empty() || document.line < 1) fail("a document beyond its limits");
  (void)reader->position();
}
