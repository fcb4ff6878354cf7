#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "dataset/pretokenize_fixture.hpp"
#include "dataset/text_samples.hpp"
#include "io/expect_error.hpp"
#include "moderngpt2/data/dataset.hpp"
#include "moderngpt2/data/parquet_writer.hpp"
#include "moderngpt2/data/splits.hpp"
#include "moderngpt2/data/text_files.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;
namespace fs = std::filesystem;

namespace {

struct SplitFixture {
  TemporaryFolder folder;

  void add(const std::vector<std::string>& names, const std::string& bytes = "x") {
    for (const std::string& name : names) {
      fs::create_directories((folder / name).parent_path());
      write_bytes(folder / name, bytes);
    }
  }
  std::string files(const std::string& input, TextPart part = TextPart::train) {
    std::string names;
    for (const TextFile& file : find_text_files({(folder / input).string()}, part))
      names += (names.empty() ? "" : " ") + fs::relative(file.path, folder.path()).string();
    return names;
  }
  std::string notes(const std::string& input) {
    std::string text;
    for (const std::string& line : text_file_notes({(folder / input).string()}, true)) text += line + "\n";
    return text;
  }
};

}  // namespace

// Expected: datasets.data_files.get_data_patterns of the library datasets 5.2, but for letter case.
TEST_CASE("parts by the names of files and folders") {
  CHECK(split_of("data/train-00000-of-00001.parquet") == DataSplit::train);
  CHECK(split_of("c4-train.00000-of-01024.json.gz") == DataSplit::train);
  CHECK(split_of("my_training_set.txt") == DataSplit::train);
  for (const char* name : {"validation-00000-of-00001.parquet", "valid.txt", "my.dev.jsonl", "val2.txt", "a_VAL.txt",
                           "validation/train.txt", "dev set/a.txt"})
    CHECK(split_of(name) == DataSplit::validation);
  for (const char* name : {"test.txt", "x-testing-1.txt", "eval.jsonl", "evaluation/a.txt", "en/test/a.txt"})
    CHECK(split_of(name) == DataSplit::test);
  for (const char* name : {"trainer.txt", "contest.txt", "devices.txt", "values.txt", "latest.txt", "medieval.txt"})
    CHECK(split_of(name) == DataSplit::unnamed);
  CHECK(split_of("train-test.txt") == DataSplit::test);
}

TEST_CASE_FIXTURE(SplitFixture, "of a folder only the training set is trained on") {
  add({"hub/data/train-00000-of-00001.jsonl", "hub/data/validation-00000-of-00001.jsonl", "hub/data/test-0.jsonl",
       "hub/dataset_infos.json", "hub/extra.jsonl"});
  CHECK(files("hub") == "hub/data/train-00000-of-00001.jsonl");
  CHECK(files("hub", TextPart::validation) == "hub/data/validation-00000-of-00001.jsonl");
  CHECK(files("hub", TextPart::evaluation) == "hub/data/validation-00000-of-00001.jsonl");
  CHECK(contains(notes("hub"), "1 file of a validation set: evaluated, not trained on (validation-00000"));
  CHECK(contains(notes("hub"), "1 file of a test set: not used (test-0.jsonl)"));
  CHECK(contains(notes("hub"), "without 'train' in the name, unlike others: not used (extra.jsonl)"));
  // A name stands.
  CHECK(files("hub/data/test-0.jsonl") == "hub/data/test-0.jsonl");
  CHECK(notes("hub/data/test-0.jsonl").empty());
  CHECK(contains(notes("hub/data/*.jsonl"), "matches files of validation or test sets (test-0.jsonl)"));

  add({"parts/train/a.txt", "parts/validation/a.txt"});
  CHECK(contains(notes("parts/*"), "matches folders of validation or test sets (validation)"));
  CHECK(notes("parts/t*").empty());
  for (const char* glob : {"parts/*/a.txt", "parts/**/*.txt"})
    CHECK(contains(notes(glob), "matches files of validation or test sets (validation/a.txt)"));
  CHECK(notes("parts/validation/*.txt").empty());
  add({"some/en.txt", "some/ja.txt", "some/test.txt"});
  CHECK(files("some") == "some/en.txt some/ja.txt");
  CHECK(files("some", TextPart::evaluation) == "some/test.txt");
  add({"only/test.txt"});
  CHECK_ERROR(files("only"), "only/test.txt", "a validation or test file by its name");
  add({"test/a.txt", "test/b.txt"});
  CHECK(files("test") == "test/a.txt test/b.txt");
}

TEST_CASE_FIXTURE(SplitFixture, "globs over folders, and formats that are not read") {
  add({"d/a.txt", "d/x/b.txt", "d/x/y/c.jsonl", "d/.git/no.txt"});
  CHECK(files("d/**/*.txt") == "d/a.txt d/x/b.txt");
  CHECK(files("d/**") == "d/a.txt d/x/b.txt d/x/y/c.jsonl");
  CHECK(files("d/**.jsonl") == "d/x/y/c.jsonl");
  CHECK(files("d/**/y/*") == "d/x/y/c.jsonl");
  add({"up/A.JSONL", "up/b.TXT", "up/c.ndjson", "up/d.Txt.GZ"});
  CHECK(files("up") == "up/A.JSONL up/b.TXT up/c.ndjson up/d.Txt.GZ");
  add({"bz/a.jsonl", "bz/b.jsonl.bz2", "xz/b.TXT.XZ"});
  CHECK_ERROR(files("bz"), "b.jsonl.bz2", "bunzip2");
  CHECK_ERROR(files("xz/b.TXT.XZ"), "unxz");
  add({"saved/dataset_info.json", "saved/state.json", "saved/data-00000-of-00001.arrow"});
  CHECK_ERROR(files("saved"), "saved", "load_from_disk('" + (folder / "saved").string() + "').to_parquet");
  CHECK_ERROR(files("saved/data-00000-of-00001.arrow"), "load_from_disk");
  add({"dict/dataset_dict.json", "dict/train/data-00000-of-00001.arrow"});
  CHECK_ERROR(files("dict"), ".items()");
  CHECK_ERROR(DatasetSplits::open(folder / "dict"), "load_from_disk");
}

TEST_CASE_FIXTURE(SplitFixture, "languages of names, folders and prefixes") {
  CHECK(language_of("d/ja.txt") == "ja");
  CHECK(language_of("d/wiki.ja.jsonl") == "ja");
  CHECK(language_of("20231101.ja/train-00000-of-00001.parquet") == "ja");
  CHECK(language_of("ja/2020/a.txt") == "text");
  CHECK(language_of("ja/2020/a.txt", 2) == "ja");
  CHECK(language_of("d/id_list/a.txt") == "text");
  add({"all/ja/2020/a.txt", "all/en/b.txt", "all/c.txt"});
  const auto languages = [&](const std::string& input) {
    std::string text;
    for (const TextFile& file : find_text_files({input})) text += file.language + " ";
    return text;
  };
  CHECK(languages((folder / "all").string()) == "text en ja ");
  CHECK(languages("zh=" + (folder / "all").string()) == "zh zh zh ");
  CHECK(languages("zh=" + (folder / "all/*.txt").string()) == "zh ");
  CHECK_ERROR(languages("zh=/nowhere"), "/nowhere: no such file");
}

TEST_CASE("validation files become the validation shards, test files nothing") {
  PretokenizeFixture f;
  fs::create_directories(f.folder / "data");
  fs::rename(f.folder / "t-en.jsonl", f.folder / "data/train-en.jsonl");
  write_bytes(f.folder / "data/validation-en.jsonl", "{\"text\": \"" + std::string(60, 'v') + "\"}\n");
  write_bytes(f.folder / "data/test-en.jsonl", "{\"text\": \"" + std::string(600, 't') + "\"}\n");
  f.options.source.inputs = {(f.folder / "data").string()};
  f.options.eval_fraction = 0.1;
  std::string said;
  f.options.note = f.options.source.note = [&](const std::string& line) { said += line + "\n"; };
  const DatasetMetadata made = f.run();
  CHECK(made.eval_files == std::vector<std::string>{"eval/shard_00000.parquet"});
  CHECK(made.eval_blocks == 3);
  REQUIRE(made.languages.size() == 1);
  CHECK(made.languages[0].documents == 301);
  CHECK(contains(said, "1 file of a validation set: evaluated, not trained on"));
  CHECK(contains(said, "eval_fraction is not used"));
  const DatasetSplits splits = DatasetSplits::open(f.options.output_path / "metadata.yaml");
  CHECK(splits.eval.size() == 3);
  const std::int32_t v = f.tokenizer().encode("v").at(0), t = f.tokenizer().encode("t").at(0);
  for (const std::int32_t id : f.all_ids(splits.train)) CHECK_FALSE((id == v || id == t));
  // Too short for a block: still not trained on.
  write_bytes(f.folder / "data/validation-en.jsonl", "{\"text\": \"v\"}\n");
  f.options.output_path = f.folder / "short";
  CHECK(f.run().eval_blocks > 3);
  CHECK(contains(said, "too few tokens for a block"));
}

TEST_CASE_FIXTURE(SplitFixture, "shards of other programs by their parts") {
  const auto write = [&](const std::string& name, std::int32_t id) {
    fs::create_directories((folder / name).parent_path());
    ParquetWriter writer(folder / name, 2);
    writer.add(std::vector<std::int32_t>{id, id});
    writer.finish();
  };
  write("data/train-00000-of-00001.parquet", 1), write("data/validation-00000-of-00001.parquet", 2);
  write("data/test-00000-of-00001.parquet", 3);
  const DatasetSplits splits = DatasetSplits::open(folder.path());
  CHECK(splits.train.size() == 1);
  CHECK(splits.eval.size() == 1);
  std::vector<std::int32_t> ids(2);
  splits.eval.get(0, ids);
  CHECK(ids[0] == 2);
  CHECK(splits.notes.size() == 2);
  CHECK(splits.train.memory_bytes() == 8);
}

TEST_CASE("a file name that is not UTF-8") {
  PretokenizeFixture f;
  fs::rename(f.folder / "t-ja.jsonl", f.folder / "caf\xe9-ja.jsonl");
  const DatasetMetadata made = f.run();
  CHECK(made.languages.size() == 2);
  CHECK(path_text("/a/caf\xe9\xe6\x97\xa5.txt") == "/a/caf\\xe9\xe6\x97\xa5.txt");
}

TEST_CASE_FIXTURE(SplitFixture, "two shards of one number are both named") {
  add({"shard_0.parquet", "shard_00.parquet"});
  CHECK_ERROR(find_shards(folder.path()), (folder / "shard_0.parquet").string() + " and",
              (folder / "shard_00.parquet").string());
}
