#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <arrow/api.h>
#include <arrow/io/file.h>
#include <doctest/doctest.h>
#include <parquet/arrow/writer.h>

#include "dataset/text_samples.hpp"
#include "io/expect_error.hpp"
#include "moderngpt2/data/dataset.hpp"
#include "moderngpt2/data/parquet_writer.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

using Path = std::filesystem::path;

/// Writes rows of `block_size` ids that count up from `first`.
void write_shard(const Path& path, int block_size, int rows, int first = 0) {
  std::filesystem::create_directories(path.parent_path());
  ParquetWriter writer(path, block_size);
  std::vector<std::int32_t> block(static_cast<std::size_t>(block_size));
  for (int row = 0; row < rows; ++row) {
    for (std::int32_t& id : block) id = first++;
    writer.add(block);
  }
  writer.finish();
}

void write_table(const Path& path, const std::vector<std::pair<std::string, std::shared_ptr<arrow::Array>>>& columns,
                 std::int64_t rows_per_group = 3) {
  arrow::FieldVector fields;
  arrow::ArrayVector arrays;
  for (const auto& [name, array] : columns) {
    fields.push_back(arrow::field(name, array->type()));
    arrays.push_back(array);
  }
  auto file = arrow::io::FileOutputStream::Open(path.string()).ValueOrDie();
  const auto table = arrow::Table::Make(arrow::schema(fields), arrays);
  REQUIRE(parquet::arrow::WriteTable(*table, arrow::default_memory_pool(), file, rows_per_group).ok());
  REQUIRE(file->Close().ok());
}

/// List column of the given type with these rows.
template <class ListBuilder, class ValueBuilder, class... Size>
std::shared_ptr<arrow::Array> lists(const std::vector<std::vector<std::int64_t>>& rows, Size... size) {
  auto values = std::make_shared<ValueBuilder>();
  ListBuilder builder(arrow::default_memory_pool(), values, size...);
  for (const auto& row : rows) {
    REQUIRE(builder.Append().ok());
    for (const std::int64_t value : row)
      REQUIRE(values->Append(static_cast<typename ValueBuilder::value_type>(value)).ok());
  }
  return builder.Finish().ValueOrDie();
}

std::shared_ptr<arrow::Array> int_lists(const std::vector<std::vector<std::int64_t>>& rows) {
  return lists<arrow::ListBuilder, arrow::Int32Builder>(rows);
}

std::vector<std::int32_t> block(const BlockDataset& data, std::int64_t index) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(data.block_size()));
  data.get(index, ids);
  return ids;
}

std::string error(const Path& path, DatasetOptions options = {}) {
  try {
    const DatasetSplits splits = DatasetSplits::open(path, options);
    for (std::int64_t i = 0; i < splits.train.size(); ++i) block(splits.train, i);
  } catch (const Error& refused) {
    const std::string text = refused.what();
    CHECK(text.find('\n') == std::string::npos);
    return text.substr(text.find("shard_") == std::string::npos ? 0 : text.find("shard_"));
  }
  return "read";
}

const std::vector<std::vector<std::int64_t>> four_rows{{1, 2}, {3, 4}, {5, 6}, {7, 8}};

}  // namespace

TEST_CASE("blocks come back from shards, in any order and with any cache") {
  const TemporaryFolder folder;
  const int block_size = 700;  // 46 rows in a group
  write_shard(folder / "shard_00000.parquet", block_size, 100);
  write_shard(folder / "shard_00001.parquet", block_size, 100, 100 * block_size);
  write_shard(folder / "shard_00002.parquet", block_size, 1, 200 * block_size);
  for (const std::size_t cache : {std::size_t{0}, std::size_t{300000}, std::size_t{1} << 30}) {
    DatasetOptions options;
    options.cache_bytes = cache;
    const DatasetSplits splits = DatasetSplits::open(folder.path(), options);
    CHECK(splits.train.size() == 191);
    CHECK(splits.eval.size() == 10);
    CHECK(splits.train.block_size() == block_size);
    std::vector<std::int32_t> ids(block_size);
    std::vector<std::int8_t> mask(block_size);
    for (std::int64_t i = 0; i < 400; ++i) {
      const std::int64_t index = i * 37 % 191;
      std::fill(mask.begin(), mask.end(), 0);
      splits.train.get(index, ids, mask);
      REQUIRE(ids.front() == index * block_size);
      REQUIRE(ids.back() == (index + 1) * block_size - 1);
      REQUIRE(std::count(mask.begin(), mask.end(), 1) == block_size);
    }
    CHECK(block(splits.eval, 9).front() == 200 * block_size);
    CHECK_THROWS_AS(splits.train.get(191, ids), Error);
    CHECK_THROWS_AS(splits.train.get(-1, ids), Error);
    CHECK_THROWS_AS(splits.train.get(0, std::span(ids).first(3)), Error);
  }
}

TEST_CASE("the same blocks give the same bytes, and an unfinished file is not there") {
  const TemporaryFolder folder;
  write_shard(folder / "a.parquet", 16, 3000);
  write_shard(folder / "b.parquet", 16, 3000);
  CHECK(read_bytes(folder / "a.parquet") == read_bytes(folder / "b.parquet"));
  {
    ParquetWriter writer(folder / "c.parquet", 2);
    writer.add(std::vector<std::int32_t>{1, 2});
    CHECK_THROWS_AS(writer.add(std::vector<std::int32_t>{1, 2, 3}), Error);
  }
  CHECK_FALSE(std::filesystem::exists(folder / "c.parquet"));
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 2);
  CHECK_THROWS_AS(ParquetWriter(folder / "no/such/folder.parquet", 2), Error);
}

TEST_CASE("shards of other makers") {
  const TemporaryFolder folder;
  const auto labels = int_lists({{0}, {0, 1, 2}, {}, {0}});
  write_table(folder / "shard_9.parquet", {{"labels", labels}, {"input_ids", int_lists(four_rows)}});
  write_table(folder / "shard_10.parquet",
              {{"input_ids", lists<arrow::LargeListBuilder, arrow::Int64Builder>({{9, 10}})},
               {"attention_mask", lists<arrow::ListBuilder, arrow::Int64Builder>({{1, 0}})}});
  write_table(folder / "shard_011.parquet",
              {{"attention_mask", lists<arrow::ListBuilder, arrow::BooleanBuilder>({{1, 1}, {0, 1}})},
               {"input_ids", lists<arrow::FixedSizeListBuilder, arrow::Int32Builder>({{11, 12}, {13, 14}}, 2)}});
  write_bytes(folder / "checkpoint.json", "{}");
  write_bytes(folder / "shard_x.parquet", "");
  const DatasetSplits splits = DatasetSplits::open(folder.path());
  REQUIRE(splits.train.size() == 6);
  for (std::int64_t i = 0; i < 6; ++i)
    CHECK(block(splits.train, i) ==
          std::vector<std::int32_t>{static_cast<int>(2 * i + 1), static_cast<int>(2 * i + 2)});
  std::vector<std::int32_t> ids(2);
  std::vector<std::int8_t> mask(2);
  splits.train.get(4, ids, mask);
  CHECK(mask == std::vector<std::int8_t>{1, 0});
  splits.eval.get(0, ids, mask);
  CHECK(ids == std::vector<std::int32_t>{13, 14});
  CHECK(mask == std::vector<std::int8_t>{0, 1});
}

TEST_CASE("what is held out") {
  const TemporaryFolder folder;
  const auto sizes = [&](DatasetOptions options = {}) {
    const DatasetSplits splits = DatasetSplits::open(folder.path(), options);
    return std::pair{splits.train.size(), splits.eval.size()};
  };
  write_shard(folder / "shard_00000.parquet", 2, 1);
  CHECK(sizes() == std::pair<std::int64_t, std::int64_t>{1, 0});
  write_shard(folder / "shard_00001.parquet", 2, 1);
  CHECK(sizes() == std::pair<std::int64_t, std::int64_t>{1, 1});
  write_shard(folder / "shard_00002.parquet", 2, 198);
  CHECK(sizes() == std::pair<std::int64_t, std::int64_t>{190, 10});
  DatasetOptions few;
  few.max_eval_blocks = 4;
  CHECK(sizes(few) == std::pair<std::int64_t, std::int64_t>{196, 4});
  write_shard(folder / "eval/shard_00000.parquet", 2, 3);
  CHECK(sizes() == std::pair<std::int64_t, std::int64_t>{200, 3});
}

TEST_CASE("bad shards are refused by name and row") {
  const TemporaryFolder folder;
  const Path shard = folder / "shard_0.parquet";
  CHECK(error(folder / "none").find("no such data set") != std::string::npos);
  CHECK(error(folder.path()) == "shard_*.parquet; create them with pretokenize_dataset");
  for (const std::string& bytes : {std::string(), std::string("PAR1"), std::string(5000, 'x')}) {
    write_bytes(shard, bytes);
    CHECK(error(folder.path()).starts_with("shard_0.parquet: cannot read as Parquet: "));
  }
  write_shard(shard, 16, 100);
  const std::string whole = read_bytes(shard);
  write_bytes(shard, whole.substr(0, whole.size() / 2));
  CHECK(error(folder.path()).starts_with("shard_0.parquet: cannot read as Parquet: "));
  std::string scribbled = whole;
  scribbled.replace(4, 200, std::string(200, '\xff'));
  write_bytes(shard, scribbled);
  CHECK(error(folder.path()).starts_with("shard_0.parquet: "));

  for (const std::size_t place : {whole.size() / 4, whole.size() / 2}) {  // in a page: detected by its checksum
    std::string flipped = whole;
    flipped[place] = static_cast<char>(flipped[place] ^ 1);
    write_bytes(shard, flipped);
    CHECK(error(folder.path()).starts_with("shard_0.parquet: "));
  }

  write_table(shard, {{"ids", int_lists(four_rows)}});
  CHECK(error(folder.path()) == "shard_0.parquet: no column 'input_ids'; its columns are: ids");
  write_table(shard, {{"input_ids", lists<arrow::ListBuilder, arrow::FloatBuilder>(four_rows)}});
  CHECK(error(folder.path()).find("is list<element: float>, not a list of int32 or int64") != std::string::npos);
  write_table(shard, {{"input_ids", int_lists({{1, 2}, {3, 4, 5}, {6}})}});
  CHECK(error(folder.path()) == "shard_0.parquet: row 1: 'input_ids' has 3 values where 2 make a block");
  write_table(shard, {{"input_ids", int_lists({{1, 2}, {3, 4, 5}})}});
  CHECK(error(folder.path()).find("the rows are not of one length") != std::string::npos);
  write_table(shard, {{"input_ids", int_lists({{1, 2}, {3, 4}, {5, 6}, {7, 8, 9}})}});
  CHECK(error(folder.path()) == "shard_0.parquet: row group 1 has blocks of 3 ids, those before of 2");
  write_table(shard, {{"input_ids", int_lists({})}});
  CHECK(error(folder.path()).find("contain no blocks") != std::string::npos);

  DatasetOptions small_vocabulary;
  small_vocabulary.vocab_size = 8;
  write_table(shard, {{"input_ids", int_lists(four_rows)}});
  CHECK(error(folder.path(), small_vocabulary).find("row 3") == std::string::npos);  // row 3 is in the validation set
  write_table(shard, {{"input_ids", int_lists({{1, 2}, {3, 4}, {5, 6}, {7, 8}, {1, 1}})}});
  CHECK(error(folder.path(), small_vocabulary)
            .starts_with("shard_0.parquet: row 3: token id 8 is outside the vocabulary of 8"));
  write_table(shard, {{"input_ids", int_lists({{1, 2}, {3, -4}, {5, 6}})}});
  CHECK(error(folder.path()).starts_with("shard_0.parquet: row 1: token id -4 is out"));
  write_table(shard,
              {{"input_ids", lists<arrow::ListBuilder, arrow::Int64Builder>({{1, std::int64_t{1} << 40}, {1, 1}})}});
  CHECK(error(folder.path()).starts_with("shard_0.parquet: row 0: token id 1099511627776 is out"));

  DatasetOptions other_block;
  other_block.block_size = 4;
  write_table(shard, {{"input_ids", int_lists(four_rows)}});
  CHECK(error(folder.path(), other_block) == "shard_0.parquet: its blocks have 2 ids where 4 are expected");
  write_shard(folder / "shard_1.parquet", 3, 1);
  CHECK(error(folder.path()) == "shard_1.parquet: its blocks have 3 ids where 2 are expected");
  write_shard(folder / "shard_01.parquet", 2, 1);
  CHECK(error(folder.path()).find("have the same number") != std::string::npos);
}

TEST_CASE("two columns of one name are refused") {
  for (const char* name : {"two_masks.parquet", "two_number_masks.parquet"})
    CHECK_ERROR(open_blocks(Path(MODERNGPT2_TEST_DATA) / "parquet" / name), name,
                "the column 'attention_mask' occurs twice");
}

TEST_CASE("metadata files") {
  const TemporaryFolder folder;
  write_shard(folder / "data/shard_00000.parquet", 2, 3);
  write_shard(folder / "data/other.parquet", 2, 30, 6);
  const Path file = folder / "metadata.yaml";
  DatasetMetadata metadata;
  metadata.train_files = {"data/other.parquet"};
  metadata.eval_files = {"data/shard_00000.parquet"};
  metadata.eval_size = 2;
  metadata.block_size = 2;
  metadata.vocab_size = 100;
  metadata.train_blocks = 30;
  metadata.eval_blocks = 3;
  metadata.tokenizer_fingerprint = "0123456789012345";
  metadata.languages = {{"no", 1, 2, 3}, {"en", 4, 5, 6}};
  write_metadata(file, metadata);
  const DatasetMetadata back = read_metadata(file);
  CHECK(back.train_files == metadata.train_files);
  CHECK(back.eval_files == metadata.eval_files);
  CHECK(back.tokenizer_fingerprint == metadata.tokenizer_fingerprint);
  CHECK(back.vocab_size == 100);
  CHECK(back.eval_blocks == 3);
  REQUIRE(back.languages.size() == 2);
  CHECK(back.languages[0].language == "no");
  CHECK(back.languages[1].bytes == 6);
  const DatasetSplits splits = DatasetSplits::open(file);
  CHECK(splits.train.size() == 30);
  CHECK(splits.eval.size() == 2);
  CHECK(block(splits.train, 0).front() == 6);

  const auto refused = [&](const std::string& yaml) {
    write_bytes(file, yaml);
    return error(file);
  };
  CHECK(refused("train: [data/nope.parquet]").find("the shard data/nope.parquet is missing") != std::string::npos);
  CHECK(refused("eval: []").find("'train' names no file") != std::string::npos);
  CHECK(refused("- 1").find("not a map") != std::string::npos);
  CHECK(refused("train: [").find("not valid YAML") != std::string::npos);
  CHECK(refused("train: {a: 1}").find("'train' has a value of the wrong type") != std::string::npos);
  CHECK(refused("train: data/other.parquet\nblock_size: many").find("yaml:2: the field 'block_size'") !=
        std::string::npos);
  CHECK(refused("train: data/other.parquet\neval_size: -1").find("'eval_size' is negative") != std::string::npos);
  CHECK(refused("train: data/other.parquet\nvocab_size: 60").find("row 27: token id 60") != std::string::npos);
  CHECK(refused("train: data/other.parquet") == "read");
}
