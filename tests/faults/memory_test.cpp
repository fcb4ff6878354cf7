/// Memory of training with a model of some megabytes: refused requests, and memory and reads of a resumed run.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "faults/program.hpp"
#include "faults/sweep.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2::test;

namespace {

/// Fixture: a model with 11 MB of weights and 33 MB of checkpoint, on blocks of 64 tokens in several shards.
struct LargerFixture {
  TemporaryFolder temporary;
  fs::path out = temporary / "out", blocks = temporary / "blocks", log = temporary / "log", said = temporary / "said";

  LargerFixture() {
    made({"make_stories", "--output_path", temporary / "text", "--documents", "1500"});
    made({"train_tokenizer", "--input", temporary / "text", "--output_path", temporary / "tokenizer", "--vocab_size",
          "600", "--character_coverage", "0.99", "--num_threads", "1", "--max_train_lines", "200"});
    made({"pretokenize_dataset", "--input", temporary / "text", "--tokenizer_path", temporary / "tokenizer",
          "--output_path", blocks, "--block_size", "64", "--max_samples_per_shard", "2500"});
    std::ofstream(temporary / "config.json")
        << R"({"model_type": "moderngpt2", "vocab_size": 600, "n_embd": 256, "n_layer": 2, "n_head": 4})";
  }
  Ended made(const std::vector<std::string>& command, const Environment& environment = {}) const {
    const Ended ended = run(command, environment, said);
    REQUIRE_MESSAGE(ended.status == 0, ended.err);
    return ended;
  }
  std::vector<std::string> train(int max_steps, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words{"train",
                                   "--config_file",
                                   temporary / "config.json",
                                   "--tokenizer_path",
                                   temporary / "tokenizer",
                                   "--pre_tokenized_dataset_path",
                                   blocks,
                                   "--max_steps",
                                   std::to_string(max_steps),
                                   "--per_device_train_batch_size",
                                   "1",
                                   "--threads",
                                   "1",
                                   "--streaming_eval_samples",
                                   "0",
                                   "--output_dir",
                                   out};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
};

const LargerFixture& fixture() {
  static const LargerFixture made;
  return made;
}

}  // namespace

TEST_CASE("a resumed run takes no more memory than a fresh one, and reads its data at once") {
  const LargerFixture& f = fixture();
  fs::remove_all(f.out);
  // Memory kept by Arrow's pool and malloc's arenas of threads varies by 2 MiB between runs.
  const Environment counted{
      {"ARROW_DEFAULT_MEMORY_POOL", "system"}, {"MALLOC_ARENA_MAX", "1"},       {"LD_PRELOAD", preloaded()},
      {"FAULT_FOLDER", f.blocks.string()},     {"FAULT_CALLS", ",read,pread,"}, {"FAULT_LOG", f.log.string()}};
  const auto measured = [&](const std::vector<std::string>& command) {
    fs::remove(f.log);
    const Ended ended = f.made(command, counted);
    return std::pair(ended.peak_kib, Hit(f.log).bytes_read);
  };
  const auto fresh = measured(f.train(2));
  f.made(f.train(40));
  const auto resumed = measured(f.train(42, {"--resume_from_checkpoint", "latest"}));
  MESSAGE("peak " << fresh.first << " KiB fresh, " << resumed.first << " KiB resumed; read " << fresh.second << " and "
                  << resumed.second << " bytes");
  CHECK(resumed.first <= fresh.first + 3072);
  CHECK(resumed.second <= fresh.second * 3 / 2);
  std::uintmax_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(f.blocks))
    if (entry.path().extension() == ".parquet") bytes += entry.file_size();
  CHECK(resumed.second < fresh.second + long(bytes) / 2);  // both read the blocks of the fingerprint
}

TEST_CASE("refused memory ends train in one line, with nothing half-written") {
  const LargerFixture& f = fixture();
  Disturbed disturbed{f.train(2, {"--save_steps", "1", "--resume_from_checkpoint", "latest"}), f.out, f.log, f.said};
  disturbed.more = {{"FAULT_ALLOC", "500000"}};
  fs::remove_all(f.out);
  f.made(disturbed.command);
  const std::string weights = content(f.out / "model.safetensors");
  for (const bool resumed : {false, true})
    sweep(
        resumed ? "a resumed run" : "a fresh run", {"memory", "memory"}, disturbed,
        [&] {
          fs::remove_all(resumed ? f.out / "checkpoint-2" : f.out);
          fs::remove(f.out / "model.safetensors");
        },
        [&](const Ended& ended, const Hit&) {
          CHECK((ended.status == 0 || ended.status == 1));
          CHECK(error_lines(ended.err).size() == (ended.status == 0 ? 0 : 1));
          CHECK(run(disturbed.command, {}, f.said).status == 0);
          CHECK(content(f.out / "model.safetensors") == weights);
        });
}
