#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "dataset/text_samples.hpp"
#include "io/expect_error.hpp"
#include "moderngpt2/data/dataset.hpp"
#include "moderngpt2/data/parquet_writer.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;
namespace fs = std::filesystem;

namespace {

/// Shard of blocks of two ids, all equal to `id`.
void write_blocks(const fs::path& path, int rows, std::int32_t id) {
  fs::create_directories(path.parent_path());
  ParquetWriter writer(path, 2);
  for (int row = 0; row < rows; ++row) writer.add(std::vector<std::int32_t>{id, id});
  writer.finish();
}

std::int32_t id_at(const BlockDataset& data, std::int64_t index) {
  std::vector<std::int32_t> ids(2);
  data.get(index, ids);
  return ids[0];
}

/// Changes the working directory for the lifetime of the object.
struct WorkingDirectory {
  fs::path before = fs::current_path();
  explicit WorkingDirectory(const fs::path& path) { fs::current_path(path); }
  ~WorkingDirectory() { fs::current_path(before); }
};

}  // namespace

TEST_CASE("lists of shards: beside the YAML, then in the working directory") {
  const TemporaryFolder folder;
  write_blocks(folder / "work/data/a.parquet", 3, 1);
  write_blocks(folder / "work/data/b.parquet", 4, 2);
  write_blocks(folder / "lists/data/b.parquet", 5, 3);
  write_blocks(folder / "lists/held.parquet", 10005, 4);
  const fs::path file = folder / "lists/lists.yaml";
  write_bytes(file, "train: [data/a.parquet, data/b.parquet]\neval: [held.parquet, data/a.parquet]\n");
  const WorkingDirectory there(folder / "work");
  const DatasetSplits splits = DatasetSplits::open(file);
  CHECK(splits.train.size() == 3 + 5);  // the second file is beside the YAML file
  CHECK(id_at(splits.train, 2) == 1);
  CHECK(id_at(splits.train, 3) == 3);
  CHECK(splits.eval.size() == 10000 + 3);  // at most 10000 of each file without eval_size
  CHECK(id_at(splits.eval, 9999) == 4);
  CHECK(id_at(splits.eval, 10000) == 1);

  write_bytes(file, "train: [data/a.parquet]\neval: [data/none.parquet]\n");
  CHECK_ERROR(DatasetSplits::open(file), "lists.yaml", "data/none.parquet is missing");
  write_bytes(file, "train:\n- " + (folder / "work/data/b.parquet").string() + "\neval:\n");
  const DatasetSplits held_out = DatasetSplits::open("../lists/lists.yaml");
  CHECK(held_out.train.size() == 3);
  CHECK(held_out.eval.size() == 1);
}

TEST_CASE("a folder of the Python original: unpadded numbers, and other files beside the shards") {
  const TemporaryFolder folder;
  for (const int number : {0, 1, 2, 10, 11})
    write_blocks(folder / ("shard_" + std::to_string(number) + ".parquet"), 1, number);
  write_bytes(folder / "checkpoint.json", R"({"current_shard_index": 3, "total_lines_processed": 5})");
  write_bytes(folder / "_dataset_info.json", R"({"num_shards": 99})");
  const DatasetSplits splits = DatasetSplits::open(folder.path());
  REQUIRE(splits.train.size() == 4);
  for (std::int64_t i = 0; i < 4; ++i) CHECK(id_at(splits.train, i) == (i < 3 ? i : i + 7));
  CHECK(id_at(splits.eval, 0) == 11);
}

TEST_CASE("a folder whose files have other names is read in their order") {
  const TemporaryFolder folder;
  write_blocks(folder / "train-00001-of-00002.parquet", 1, 8);
  write_blocks(folder / "train-00000-of-00002.parquet", 1, 7);
  CHECK(id_at(DatasetSplits::open(folder.path()).train, 0) == 7);
  write_blocks(folder / "shard_3.parquet", 1, 9);
  CHECK(DatasetSplits::open(folder.path()).train.size() == 1);  // other files do not belong to this data set
}

TEST_CASE("two shards of one number: the message names both files") {
  const TemporaryFolder folder;
  for (const char* name : {"shard_0.parquet", "shard_00.parquet", "shard_1.parquet"}) write_bytes(folder / name, "");
  CHECK(error_of([&] { (void)find_shards(folder.path()); }) ==
        fmt::format("{0}/shard_0.parquet and {0}/shard_00.parquet have the same number: remove one",
                    folder.path().string()));
}
