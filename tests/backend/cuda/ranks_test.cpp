#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/ranks_run.hpp"

// Each rank is a thread with a simulated GPU. Not for ThreadSanitizer, which cannot distinguish their work.
#ifndef MODERNGPT2_SIMT_TSAN

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

using CpuOfRanks = CausalLM<any_shape>;
using GpuOfRanks = CausalLM<any_shape, cuda::Backend, Fp32>;

/// Half blocks of 2 MiB, a chunk of a real GPU, and of 5 MiB.
Config config_of_chunks() {
  Config c = test::config_of_ranks();
  c.vocab_size = 1000, c.n_embd = 384, c.n_layer = 5, c.n_head = c.n_kv_head = 6, c.head_dim = 64, c.n_inner = 1152;
  return c;
}

/// Bytes of GPU memory of a model and its trainer on each rank.
std::vector<std::size_t> taken(const Config& config, const TrainingSettings& s, std::string& thrown) {
  const TrainAndEval data = test::blocks_of_ranks();
  std::vector<std::size_t> bytes(std::size_t(s.world_size));
  thrown = test::run_gpu_ranks(
      s.world_size, 0,
      [&](distributed::CommunicatorBase& host, distributed::CommunicatorBase& gpus, cuda::Backend& backend) {
        simt::device().virtual_memory.granularity = gpu_chunk_bytes;
        const std::size_t before = simt::device().used();
        GpuOfRanks model(config, std::move(backend), distributed::buffer_granule(s.world_size), pages_of(s));
        {
          const Trainer<GpuOfRanks> trainer(model, data, {}, s, {}, &host, &gpus);
          bytes[std::size_t(host.rank())] = simt::device().used() - before;
        }
        backend = std::move(model.backend());
      });
  return bytes;
}

}  // namespace

TEST_CASE("several GPUs train like a CPU, in every ZeRO stage") {
  using Cpu = test::RanksTask<CpuOfRanks>;
  using Gpus = test::RanksTask<GpuOfRanks>;
  const test::TemporaryFolder folder;
  const TrainAndEval data = test::blocks_of_ranks();
  const test::RanksRun want = Cpu{folder / "cpu", data}.alone();
  REQUIRE(want.losses.size() == 4);
  CHECK(want.losses[3] < want.losses[0]);
  const auto parameters = Decoder<any_shape, CpuOfRanks::Head>(test::config_of_ranks()).list();
  for (const int stage : {0, 1, 2, 3}) {
    CAPTURE(stage);
    const fs::path out = folder / std::to_string(stage);
    const Gpus gpus{out, data};
    const test::RanksRun got = gpus.on_gpus(2, stage, std::uint64_t(stage));
    test::check_ranks(got, want, 1e-5);
    test::check_mapped(gpus, got, stage);
    CHECK(got.sampled == want.sampled);
    CHECK(test::difference_of_files(out, folder / "cpu", parameters) < 1e-4);
  }
  // Another schedule gives the same bits, and a CPU resumes from the checkpoint.
  const test::RanksRun three = Gpus{folder / "again", data}.on_gpus(2, 3, 0);
  CHECK(three.thrown == "");
  CHECK(test::difference_of_files(folder / "again", folder / "3", parameters) == 0);
  const test::RanksRun on = Cpu{.folder = folder / "on", .data = data, .from = folder / "3" / "checkpoint-2"}.alone();
  REQUIRE(on.losses.size() == 2);
  CHECK(on.losses[1] == doctest::Approx(want.losses[3]).epsilon(1e-5));
}

TEST_CASE("several GPUs allocate the planned memory") {
  const Config config = config_of_chunks();
  TrainingSettings s;
  s.per_device_train_batch_size = s.per_device_eval_batch_size = 1, s.bucket_elements = 1;  // a block each
  constexpr std::uint64_t small = 64 << 10;  // ends of buffers, and a step's sums: far less than a chunk
  for (const int ranks : {2, 3}) {
    s.world_size = ranks;
    for (const int stage : {0, 1, 2, 3}) {
      CAPTURE(ranks);
      CAPTURE(stage);
      s.zero_stage = stage;
      const std::uint64_t planned = plan_memory<GpuOfRanks>(config, s, 6, 1).device_bytes;
      std::string thrown;
      const std::vector<std::size_t> bytes = taken(config, s, thrown);
      CHECK(thrown == "");
      const std::size_t most = *std::max_element(bytes.begin(), bytes.end());
      CHECK(most <= planned + small);
      CHECK(most + small >= planned);
    }
  }
}

TEST_CASE("memory plan of a GPU: decreases with the ZeRO stage, in whole chunks") {
  Config c = config_of_chunks();
  c.vocab_size = 8000, c.n_embd = 512, c.n_head = c.n_kv_head = 8, c.n_inner = 1536, c.n_layer = 8;
  TrainingSettings s;
  s.world_size = 4;
  std::uint64_t before = UINT64_MAX;
  for (const int stage : {0, 1, 2, 3}) {
    s.zero_stage = stage;
    const std::uint64_t now = plan_memory<GpuOfRanks>(c, s, 8, 1).device_bytes;
    CHECK(now < before);
    before = now;
  }
  const Decoder<any_shape, GpuOfRanks::Head> layers(c);
  const detail::MappedBytes mapped = detail::mapped_bytes(layers, s, sizeof(float), sizeof(float));
  const std::uint64_t whole = std::uint64_t(layers.count().matrices) * sizeof(float);
  CHECK(mapped.weights % gpu_chunk_bytes == 0);
  CHECK(mapped.gradients % gpu_chunk_bytes == 0);
  CHECK(mapped.weights < whole * 4 / 5);
  CHECK(mapped.gradients < whole * 3 / 4);
  // Evaluation needs weights only, and no more than training.
  CHECK(plan_evaluation<GpuOfRanks>(c, s, 8, 1).device_bytes < before / 2);
}

#endif
