#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include "moderngpt2/run/check_request.hpp"
#include "moderngpt2/run/run_plan.hpp"
#include "moderngpt2/training/language_modelling.hpp"

using namespace moderngpt2;

namespace {

using Model = LanguageModelling::Model<>;

TEST_CASE("sizes of memory have decimal and binary units") {
  using detail::parse_bytes;
  CHECK(parse_bytes("gpu_memory", "94GiB") == 94ull << 30);
  CHECK(parse_bytes("gpu_memory", "80 GB") == 80000000000ull);
  CHECK(parse_bytes("gpu_memory", "24") == 24ull << 30);
  CHECK(parse_bytes("gpu_memory", "0.5g") == 512ull << 20);
  CHECK(parse_bytes("gpu_memory", "500MiB") == 500ull << 20);
  CHECK(parse_bytes("gpu_memory", "1TiB") == 1ull << 40);
  for (const char* text : {"", "GiB", "-1GiB", "0", "nan", "inf", "1e30", "99999999TiB", "80 gigabytes", "8GiB8"})
    CHECK_THROWS_AS((void)parse_bytes("gpu_memory", text), UsageError);
}

TEST_CASE("the largest batch is the largest whose plan fits") {
  TrainingRequest request;
  PreparedRun<LanguageModelling> run;
  run.companions.config.config = Config{};
  run.companions.config.config.n_embd = 32;
  run.block_size = 64;
  request.settings.gradient_checkpointing = false;
  const auto needed = [&](int batch) {
    TrainingSettings s = request.settings;
    s.per_device_train_batch_size = s.per_device_eval_batch_size = batch;
    return detail::plan_training<Model>(request, run, s).device_bytes;
  };
  for (const int batch : {1, 7, 64, 1000}) {
    CHECK(detail::largest_batch<Model>(request, run, request.settings, needed(batch)) == batch);
    CHECK(detail::largest_batch<Model>(request, run, request.settings, needed(batch) - 1) == batch - 1);
  }
  CHECK(detail::largest_batch<Model>(request, run, request.settings, UINT64_MAX) == 4096);
}

TEST_CASE("a plan says whether it fits the memory of a GPU, what would, and how long the steps take") {
  TrainingRequest request;
  PreparedRun<LanguageModelling> run;
  run.block_size = 64;
  request.settings.max_steps = 3600;
  request.gpu_memory = "94GiB", request.gpu_flops = 1e12;
  detail::RunPlan plan = detail::plan_run<Model>(request, run, 1);
  std::string text = detail::gpu_memory_text<Model>(request, run, plan.memory);
  CHECK(text.find("it fits") != text.npos);
  CHECK(text.find("without gradient checkpointing: batches of up to") != text.npos);
  request.gpu_memory = "700MiB";
  text = detail::gpu_memory_text<Model>(request, run, plan.memory);
  CHECK(text.find("it does not fit; use a smaller --per_device_train_batch_size") != text.npos);
  CHECK(text.find("with --gradient_checkpointing: no batch fits") != text.npos);

  const double flops = Model::Layers(run.companions.config.config).training_flops_per_token(64);
  const double step = flops * double(request.settings.global_batch()) * 64;
  request.gpu_flops = step / 10;  // ten seconds a step
  const std::string time = detail::gpu_time_text(request, run, plan);
  CHECK_MESSAGE(time.find("time: 10 hours for 3600 steps") != time.npos, time);
}

TEST_CASE("a GPU is described for its plan only") {
  TrainingRequest request;
  request.gpu_memory = "94GiB";
  const auto check = [&] { detail::check_request(request, false, true, [](const std::string&) {}); };
  const char* const message = "--gpu_memory describes the GPUs of a plan: use it with --dry_run --device cuda";
  CHECK_THROWS_WITH_AS(check(), message, UsageError);
  request.dry_run = true;
  CHECK_THROWS_WITH_AS(check(), message, UsageError);
  request.gpu = 0;
  CHECK_NOTHROW(check());
  request.gpu_memory = "much";
  CHECK_THROWS_AS(check(), UsageError);
}

}  // namespace
