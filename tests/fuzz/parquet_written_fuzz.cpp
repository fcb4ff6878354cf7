// Shards with ids from the input must be equal after writing and reading.
#include <fuzzer/FuzzedDataProvider.h>

#include "fuzz.hpp"
#include "moderngpt2/data/parquet_reader.hpp"
#include "moderngpt2/data/shard_writer.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) { seeds.add(std::string(200, '\x07') + "\x04\x03"); }

void fuzz::run(std::string_view input) {
  FuzzedDataProvider data(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
  const int block_size = data.ConsumeIntegralInRange<int>(1, 9);
  const auto rows_per_shard = data.ConsumeIntegralInRange<std::int64_t>(1, 5);
  std::vector<std::vector<std::int32_t>> rows;
  while (data.remaining_bytes() > 0 && rows.size() < 20) {
    rows.emplace_back();
    for (int i = 0; i < block_size; ++i) rows.back().push_back(data.ConsumeIntegralInRange<std::int32_t>(0, INT32_MAX));
  }
  std::filesystem::create_directories(folder() / "shards");
  ShardWriter writer(folder() / "shards", block_size, rows_per_shard);
  for (const auto& row : rows) writer.add(row);
  writer.finish();
  std::size_t at = 0;
  for (const std::string& name : writer.names()) {
    const auto shard = open_blocks(folder() / "shards" / name);
    for (int group = 0; group < shard->groups(); ++group) {
      const BlockGroup read = shard->read(group, 0);
      for (std::int64_t row = 0; row < read.rows; ++row, ++at)
        if (at >= rows.size() ||
            !std::equal(rows[at].begin(), rows[at].end(), read.ids.begin() + std::ptrdiff_t(row * block_size)))
          fail("another row after writing and reading");
    }
  }
  if (at != rows.size()) fail("another number of rows");
}
