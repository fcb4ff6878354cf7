// Parquet shards of token blocks. Accepted groups must have rows of the shard's block size, with ids below the limit.
#include "moderngpt2/data/parquet_reader.hpp"
#include "parquet_mutator.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  const auto ids = lists(4, array<arrow::Int32Builder, std::int32_t>({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
  const auto wide = lists(4, array<arrow::Int64Builder, std::int64_t>({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
  const auto mask = lists(4, array<arrow::Int8Builder, std::int8_t>({1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0, 0}));
  const auto ones = lists(4, array<arrow::Int32Builder, std::int32_t>({1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}));
  const auto numbers = array<arrow::Int64Builder, std::int64_t>({1, 2, 3});
  for (const bool checksums : {false, true}) {
    seeds.add(parquet_bytes(table({{"input_ids", ids}}), 2, checksums));
    seeds.add(parquet_bytes(table({{"input_ids", ids}, {"attention_mask", mask}}), 2, checksums));
    seeds.add(parquet_bytes(table({{"attention_mask", ones}, {"input_ids", wide}, {"n", numbers}}), 3, checksums));
  }
}

void fuzz::run(std::string_view input) {
  const std::filesystem::path path = file("shard_00000.parquet", input);
  const auto reader = accepted([&] { return open_blocks(path); });
  if (!reader) return;
  BlockReader& shard = **reader;
  if (shard.rows() < 0 || shard.rows() > 1 << 20) return;
  for (int group = 0; group < shard.groups(); ++group) {
    const auto read = accepted([&] { return shard.read(group, 1000); });
    if (!read) continue;
    const auto size = static_cast<std::size_t>(read->rows * shard.block_size());
    if (read->ids.size() != size || read->mask.size() != size) fail("a group of another size");
    for (const std::int32_t id : read->ids)
      if (id < 0 || id >= 1000) fail("an id out of range");
  }
}
