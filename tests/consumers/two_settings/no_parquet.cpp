// Writes and reads a shard through headers that were compiled without MODERNGPT2_HAVE_PARQUET.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "moderngpt2/data/dataset.hpp"
#include "moderngpt2/data/shard_writer.hpp"

#ifdef MODERNGPT2_HAVE_PARQUET
#error "MODERNGPT2_HAVE_PARQUET is defined"
#endif

int main(int, char** arguments) {
  const std::filesystem::path folder = std::string(arguments[0]) + ".shards";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  try {
    moderngpt2::ShardWriter writer(folder, 4, 100);
    writer.add(std::vector<std::int32_t>{1, 2, 3, 4});
    writer.finish();
    const auto reader = moderngpt2::open_blocks(folder / writer.names().at(0));
    const auto group = reader->read(0, 10);
    std::printf("%d rows of %d\n", int(reader->rows()), reader->block_size());
    return group.ids == std::vector<std::int32_t>{1, 2, 3, 4} ? 0 : 1;
  } catch (const moderngpt2::Error& error) {
    std::puts(error.what());
    return 1;
  }
}
