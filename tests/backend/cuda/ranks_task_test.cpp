#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "backend/cuda/ranks_run.hpp"
#include "moderngpt2/training/tasks/question_answering.hpp"
#include "support/task_examples.hpp"

// Takes a minute to compile; for AddressSanitizer one task is enough.
#if !defined(MODERNGPT2_SIMT_TSAN) && !defined(__SANITIZE_ADDRESS__)

using namespace moderngpt2;

namespace {

/// An odd number of questions to train on and two to evaluate; answers are single letters.
QuestionAnswering::Splits questions_of_ranks() {
  std::string lines;
  for (int i = 0; i < 11; ++i) {
    const std::string context = std::string("abcd").substr(std::size_t(i % 3)) + " xyz";
    const int at = i % int(context.size());
    lines +=
        fmt::format(R"({{"question": "w{}", "context": "{}", "answers": {{"text": ["{}"], "answer_start": [{}]}}}})",
                    char('a' + i), context, context.substr(std::size_t(at), 1), at) +
        "\n";
  }
  const auto all = test::examples<QuestionAnswering::Store>(lines);
  const std::int64_t train = all.size() - 2;
  const auto store = std::make_shared<QuestionAnswering::Store>(all.store());
  return {{store, 0, train}, {store, train, all.size()}};
}

}  // namespace

TEST_CASE("several GPUs train a head with two losses per pass, and combine their scores") {
  using Cpu = test::RanksTask<QuestionAnswering::Model<>, QuestionAnswering>;
  using Gpus = test::RanksTask<QuestionAnswering::Model<cuda::Backend>, QuestionAnswering>;
  const test::TemporaryFolder folder;
  const auto data = questions_of_ranks();
  Config config = test::config_of_ranks();
  config.vocab_size = 400, config.n_positions = 32;
  const test::RanksRun want = Cpu{.folder = folder / "cpu", .data = data, .config = config}.alone();
  CHECK(want.evaluation.size() > 3);
  for (const int stage : {1, 3}) {
    CAPTURE(stage);
    const Gpus gpus{.folder = folder / std::to_string(stage), .data = data, .config = config};
    const test::RanksRun got = gpus.on_gpus(2, stage, std::uint64_t(stage));
    test::check_ranks(got, want, 1e-4);
    test::check_mapped(gpus, got, stage);
  }
}

#endif
