#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "dataset/pretokenize_fixture.hpp"
#include "io/expect_error.hpp"
#include "moderngpt2/data/dataset.hpp"
#include "moderngpt2/run/text_data.hpp"
#include "moderngpt2/training/checkpoint/checkpoint_folder.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

/// A run's text, beside shards of the same text.
struct TextFixture : test::PretokenizeFixture {
  TextData text;
  std::string said;
  TrainingHooks hooks{.say = [this](const std::string& line) { said += line + "\n"; }};
  int block_size = 16;
  std::optional<fs::path> checkpoint;

  TextFixture() { text.source.inputs = options.source.inputs; }

  fs::path out() const { return folder / "run"; }
  fs::path pack() {
    said.clear();
    const Tokenizer made = tokenizer();
    return PackedText(made, text, block_size, out(), checkpoint).pack(2, hooks);
  }
  void write_checkpoint(const fs::path& run) const {
    TrainerState state;
    state.files = {{"weights", 0, ""}};
    fs::create_directories(run / "checkpoint-5");
    write_file(run / "checkpoint-5" / "weights", "");
    write_json_file(run / "checkpoint-5" / "trainer_state.json", to_json(state, {}));
  }
};

}  // namespace

TEST_CASE("text gives the blocks that its shards have, once") {
  TextFixture f;
  f.text.eval_fraction = f.options.eval_fraction = 0.1;
  f.run();
  CHECK(f.pack() == f.out() / "packed_text" / "metadata.yaml");
  CHECK(test::contains(f.said, "packing 2 files of text"));
  CHECK(test::contains(f.said, "blocks of 16 tokens for training"));
  const DatasetSplits ours = DatasetSplits::open(f.out() / "packed_text"),
                      theirs = DatasetSplits::open(f.folder / "out");
  CHECK(f.all_ids(ours.train) == f.all_ids(theirs.train));
  CHECK(f.all_ids(ours.eval) == f.all_ids(theirs.eval));
  CHECK(ours.eval.size() > 0);

  const auto before = f.contents(f.out());
  f.pack();
  CHECK(test::contains(f.said, "packed already"));
  CHECK(f.contents(f.out()) == before);
  // A copy with another time is the same text.
  fs::last_write_time(f.folder / "t-en.jsonl", fs::file_time_type::clock::now() + std::chrono::hours(1));
  f.checkpoint = f.out() / "checkpoint-5";
  f.pack();
  CHECK(test::contains(f.said, "packed already"));
}

TEST_CASE("other text is packed anew, but never under a run that it would change") {
  TextFixture f;
  f.text.source.inputs = {(f.folder / "t-en.jsonl").string()};
  f.pack();
  std::string english = test::read_bytes(f.folder / "t-en.jsonl");
  english[english.find("abc")] = 'z';  // as many bytes
  const auto changed = std::chrono::hours(1) + fs::last_write_time(f.folder / "t-en.jsonl");
  test::write_bytes(f.folder / "t-en.jsonl", english);
  fs::last_write_time(f.folder / "t-en.jsonl", changed);

  f.write_checkpoint(f.out());
  CHECK_ERROR(f.pack(), "packed_text", "an earlier run used other text", "t-en.jsonl has changed");
  f.checkpoint = f.out() / "checkpoint-5";
  CHECK_ERROR(f.pack(), "an earlier run used other text");
  f.checkpoint.reset();
  fs::remove_all(f.out() / "checkpoint-5");
  f.pack();
  CHECK(test::contains(f.said, "packing 1 file of text"));

  f.write_checkpoint(f.out());
  const auto refused = [&](auto change, const std::string& part) {
    const TextData text = f.text;
    change(f.text);
    CHECK_ERROR(f.pack(), part);
    f.text = text;
  };
  refused([&](TextData& t) { t.source.inputs.push_back((f.folder / "t-ja.jsonl").string()); }, "t-ja.jsonl is new");
  refused([](TextData& t) { t.split_special_tokens = true; }, "split_special_tokens was false and is now true");
  refused([](TextData& t) { t.eval_fraction = 0.5; }, "eval_fraction was 0 and is now 0.5");
  refused([](TextData& t) { t.source.max_documents = 5; }, "max_input_lines_total was 0 and is now 5");
  f.block_size = 8;
  CHECK_ERROR(f.pack(), "block_size was 16 and is now 8");
  f.block_size = 16;
  f.pack();
  CHECK(test::contains(f.said, "packed already"));
}

TEST_CASE("a run that goes on elsewhere reads the blocks of the first") {
  TextFixture f;
  f.pack();
  f.write_checkpoint(f.out());
  const Tokenizer tokenizer = f.tokenizer();
  PackedText elsewhere(tokenizer, f.text, 16, f.folder / "other", f.out() / "checkpoint-5");
  CHECK(elsewhere.is_there());
  CHECK(elsewhere.pack(1, f.hooks) == f.out() / "packed_text" / "metadata.yaml");
  CHECK_FALSE(fs::exists(f.folder / "other"));
  f.text.source.max_documents = 9;
  CHECK_ERROR(PackedText(tokenizer, f.text, 16, f.folder / "other", f.out() / "checkpoint-5").is_there(),
              "max_input_lines_total");
}

TEST_CASE("a signal stops the packing, and the same run goes on with it") {
  TextFixture f;
  f.block_size = 1 << 17;  // 128 blocks a shard
  std::string long_text;
  for (int i = 0; i < 40000; ++i) long_text += "{\"text\": \"" + std::string(1000, char('a' + i % 26)) + "\"}\n";
  test::write_bytes(f.folder / "t-en.jsonl", long_text);
  f.pack();
  const auto whole = f.contents(f.out() / "packed_text");
  fs::remove_all(f.out());
  std::int64_t documents = 0, resumed = 0;
  f.hooks.on_packing = [&](const PretokenizeProgress& now) {
    documents = now.documents;
    resumed = now.resumed_text_bytes;
  };
  f.hooks.stop = [&] { return documents > 30000 ? SIGINT : 0; };
  int signal = 0;
  try {
    f.pack();
  } catch (const PackingStopped& stopped) {
    signal = stopped.reason;
  }
  CHECK(signal == SIGINT);
  CHECK_FALSE(fs::exists(f.out() / "packed_text" / "metadata.yaml"));
  CHECK(resumed == 0);
  f.hooks.stop = nullptr;
  f.pack();
  CHECK(resumed > 10'000'000);
  CHECK(f.contents(f.out() / "packed_text") == whole);
}

TEST_CASE("text that cannot be packed") {
  TextFixture f;
  f.text.source.inputs = {(f.folder / "none.txt").string()};
  CHECK_ERROR(f.pack(), "none.txt");
  f.text.source.inputs = {(f.folder / "t-en.jsonl").string()};
  f.block_size = 1 << 20;
  CHECK_ERROR(f.pack(), "too few for one block");
  test::write_bytes(f.folder / "tokenizer/tokenizer_config.json", "{}");
  CHECK_ERROR(f.pack(), "no eos token");
}
