#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/io/safetensors.hpp"
#include "moderngpt2/model/dispatch.hpp"
#include "support/temporary_folder.hpp"
#include "training/rank_run.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

using Bf16RankRun = test::RankRun<CausalLMInBf16>;
using Bf16RankRuns = test::GatheredRun<CausalLMInBf16>;

TEST_CASE("ranks in bf16: each has a part of the masters, the file has all, and any number resumes") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");
  for (const int ranks : {1, 2, 3}) {
    CAPTURE(ranks);
    const int stage = ranks == 3 ? 3 : 2;
    const fs::path out = temporary / std::to_string(ranks);
    const auto stop = [&](int rank, std::int64_t step) { return rank == 0 && step >= 10 ? 15 : 0; };
    const Bf16RankRuns half = Bf16RankRun{.data = data, .output_dir = out, .stop = stop}(ranks, stage);
    REQUIRE(half.thrown == "");
    const SafetensorsFile file(out / "checkpoint-10" / "model.safetensors");
    bool same = true, rounded = true;
    const CausalLMInBf16 model(test::tiny_config(), cpu::Backend(1));
    for (const ParameterInfo& p : model.parameters())
      if (p.is_matrix()) {
        const std::vector<float> stored = file.read_vector<float>(p.name);
        for (std::int64_t i = 0; i < p.size; ++i) {
          same = same && stored[std::size_t(i)] == half.masters[p.offset + i];
          rounded = rounded && half.masters[p.offset + i] == float(bf16(half.masters[p.offset + i]));
        }
      }
    CHECK(same);
    CHECK_FALSE(rounded);  // or it would say little
    const Bf16RankRuns whole =
        Bf16RankRun{.data = data, .output_dir = temporary / ("whole" + std::to_string(ranks))}(ranks, stage);
    CHECK(whole.losses[19] < whole.losses[0] - 0.1);
    for (const int after : {1, 2, 3}) {
      CAPTURE(after);
      const fs::path to = temporary / (std::to_string(ranks) + "to" + std::to_string(after));
      const Bf16RankRuns loaded =
          Bf16RankRun{.data = data, .output_dir = to, .resume = out / "checkpoint-10", .max_steps = 10}(after, ranks);
      REQUIRE(loaded.thrown == "");
      CHECK(test::same_state(loaded, half));
      const Bf16RankRuns on =
          Bf16RankRun{.data = data, .output_dir = to, .resume = out / "checkpoint-10"}(after, after == 3 ? 3 : 2);
      REQUIRE(on.thrown == "");
      CHECK(on.losses.back() == doctest::Approx(whole.losses.back()).epsilon(1e-2));
      if (after == ranks) {
        CHECK(on.losses == std::vector<double>(whole.losses.begin() + 10, whole.losses.end()));
        CHECK(test::same_state(on, whole));
      }
    }
  }
}
