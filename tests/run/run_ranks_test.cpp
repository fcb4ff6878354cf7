#include <algorithm>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/run/run.hpp"
#include "moderngpt2/testing/thread_ranks.hpp"
#include "run/run_fixture.hpp"
#include "training/tiny_run.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

TEST_CASE("a run of several ranks: one voice, the same model, and everybody's inputs the same") {
  test::RunFixture f;
  f.request.settings.per_device_train_batch_size = 4;
  CHECK(f.run() == 0);
  const fs::path one = f.request.settings.output_dir, two = f.temporary / "two", three = f.temporary / "three";
  std::vector<std::string> complaints;
  const auto run_ranks = [&](const std::function<void(TrainingRequest&, int rank)>& change) {
    f.said.clear();
    complaints.clear();
    std::vector<int> status(2, -1);
    std::mutex mutex;
    const auto run_rank = [&](distributed::CommunicatorBase& ranks) {
      TrainingRequest own = f.request;
      own.settings.output_dir = two;
      own.settings.per_device_train_batch_size = 2;
      own.settings.world_size = 2;
      own.ranks = &ranks;
      change(own, ranks.rank());
      const auto keep = [&](std::vector<std::string>& lines) {
        return [&](const std::string& line) {
          const std::lock_guard<std::mutex> lock(mutex);
          lines.push_back(line);
        };
      };
      status[std::size_t(ranks.rank())] = run_training(own, {.say = keep(f.said), .complain = keep(complaints)});
    };
    for (const std::string& thrown : distributed::run_thread_ranks(2, {.timeout_seconds = 60}, run_rank))
      CHECK(thrown == "");
    CHECK(status[0] == status[1]);
    return status[0];
  };
  const auto same = [](TrainingRequest&, int) {};
  CHECK(run_ranks(same) == 0);
  CHECK(std::count(f.said.begin(), f.said.end(), "the model is in " + two.string()) == 1);
  CHECK(test::contains(f.text(), "batch: 2 x 1 accumulated x 2 processes = 4 sequences"));
  const auto losses = [](const fs::path& folder) {
    std::vector<double> result;
    const Checkpoint last = open_checkpoint(folder / "checkpoint-6");
    for (const Json& line : last.state.log_history)
      if (line.contains("loss")) result.push_back(line.at("loss").get<double>());
    return result;
  };
  REQUIRE(losses(two).size() == losses(one).size());
  for (std::size_t i = 0; i < losses(one).size(); ++i)
    CHECK(losses(two)[i] == doctest::Approx(losses(one)[i]).epsilon(1e-6));

  // Sharded weights: evaluated alone, and sampled from, as one process does.
  const auto third = [&](TrainingRequest& r, int) { r.settings.zero_stage = 3, r.settings.output_dir = three; };
  f.request.samples = {.prompts = {"t5 t6", "t7"}, .max_new_tokens = 4};
  f.request.settings.output_dir = f.temporary / "sampled";
  f.request.settings.eval_steps = 3;
  CHECK(f.run() == 0);
  CHECK(run_ranks(third) == 0);
  CHECK(losses(three).size() == losses(one).size());
  CHECK(read_file(three / "samples.jsonl") == read_file(f.temporary / "sampled" / "samples.jsonl"));
  f.request.samples.prompts.clear();
  f.request.model_path = three;
  f.request.eval_only = true;
  f.request.settings.per_device_eval_batch_size = 3;
  const auto said_evaluation = [&] {
    for (const std::string& line : f.said)
      if (line.starts_with("evaluation loss ")) return std::stod(line.substr(16));
    return -1.0;
  };
  CHECK(f.run() == 0);
  const double alone = said_evaluation();
  CHECK(run_ranks(third) == 0);
  CHECK(said_evaluation() == doctest::Approx(alone).epsilon(1e-6));
  CHECK(alone > 0);
  f.request.model_path.reset(), f.request.eval_only = false;

  // Resumed together, from what rank 0 finds.
  fs::remove_all(two / "checkpoint-6");
  f.request.resume_from_checkpoint = "latest";
  CHECK(run_ranks(same) == 0);
  CHECK(test::contains(f.text(), "checkpoint-3"));
  f.request.resume_from_checkpoint.reset();

  const auto refused = [&](int status, const std::string& why,
                           const std::function<void(TrainingRequest&, int)>& change) {
    CHECK(run_ranks(change) == status);
    REQUIRE(complaints.size() == 1);
    CHECK_MESSAGE(test::contains(complaints[0], why), complaints[0]);
  };
  refused(1, "rank 1 has another command line than rank 0",
          [](TrainingRequest& r, int rank) { r.settings.learning_rate += rank; });
  refused(1, "rank 1 has another config.json than rank 0",
          [](TrainingRequest& r, int rank) { r.model_fields["n_layer"] = 1 + rank; });
  test::make_data(f.temporary / "other", 51);
  refused(1, "rank 1 has another data set than rank 0", [&](TrainingRequest& r, int rank) {
    if (rank == 1) r.pre_tokenized_dataset_path = f.temporary / "other";
  });
  test::write_tokenizer(f.temporary / "chat", 64);
  write_file(f.temporary / "chat" / "chat_template.jinja", "{{ other }}");
  refused(1, "rank 1 has another tokenizer than rank 0", [&](TrainingRequest& r, int rank) {
    if (rank == 1) r.tokenizer_path = f.temporary / "chat";
  });
  refused(2, "--tokenizer_path or --vocab_size is needed", [](TrainingRequest& r, int) { r.tokenizer_path.reset(); });
  refused(1, "nowhere", [&](TrainingRequest& r, int rank) {
    if (rank == 1) r.pre_tokenized_dataset_path = f.temporary / "nowhere";
  });
}
