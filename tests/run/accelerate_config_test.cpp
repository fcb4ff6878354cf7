#include <optional>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/run/accelerate_config.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;

namespace {

AccelerateConfig read(const std::string& text) { return parse_accelerate_config(text, "acc.yaml"); }

std::string joined(const std::vector<std::string>& list) { return fmt::format("{}", fmt::join(list, "\n")); }

/// The command line: flags that were typed, and the settings with their values.
struct AccelerateCommand {
  std::set<std::string> typed;
  std::optional<std::string> precision, wish;
  TrainingSettings settings;
  int ranks = 1;

  LauncherEffect apply(const std::string& text) {
    return apply_accelerate_config(read(text), ranks, settings,
                                   {[this](const std::string& flag) { return typed.contains(flag); }, precision}, wish);
  }
  std::string lines(const std::string& text) { return joined(apply(text).lines); }
};

}  // namespace

TEST_CASE("Accelerate's file: processes and precision") {
  const std::string usual =
      "compute_environment: LOCAL_MACHINE\ndistributed_type: DEEPSPEED\nnum_processes: 4\nmachine_rank: 0\n"
      "num_machines: 1\ngpu_ids: null\ndeepspeed_config: {}\nuse_cpu: false\nmixed_precision: no\n";
  CHECK(read(usual).precision == "fp32");
  CHECK(read(usual).num_processes == 4);
  CHECK(read(usual).ignored.empty());
  AccelerateCommand line;
  CHECK(line.lines(usual) == "warning: acc.yaml: num_processes is 4, this run has 1");
  line.ranks = 4, line.wish = "bf16";
  CHECK(line.apply(usual).precision == "bf16");
  CHECK(!read("num_processes: -1").num_processes);  // left to the launcher
  CHECK(read("fp16: true").precision == "fp16");    // old files
  const std::string other = "mixed_precision: bf16\n";
  line = {};
  CHECK(line.apply(other).precision == "bf16");
  line.precision = "fp16";
  CHECK_ERROR(line.apply(other), "mixed_precision is bf16", "say fp16");
  CHECK_ERROR(read("mixed_precision: fp8"), "mixed_precision is \"fp8\"");
  CHECK_ERROR(read("num_processes: two"), "num_processes must be an integer");
  CHECK_ERROR(read("num_processes: 0"), "num_processes is 0");
  CHECK_ERROR(read("- 1"), "expected a map");
  CHECK_ERROR(read("a: ["), "acc.yaml:1", "YAML");
  CHECK_ERROR(read("num_processes: 1\nmixed_precision: no\nnum_processes: 2\n"), "acc.yaml:3", "num_processes",
              "occurs twice");
  CHECK_ERROR(read("mixed_precision: \"bf16\nnum_processes: 4\n"), "acc.yaml:1", "no closing quote");
  CHECK_ERROR(read("\"\\e[2J\\e[31mowned\": 1\nmixed_precision: [\n"), "acc.yaml");
  CHECK(joined(read("\"\\e[2J\\e[31mowned\": 1").ignored) == "\\x1b[2J\\x1b[31mowned");
}

TEST_CASE("Accelerate's file: fields that are not honoured") {
  CHECK(joined(read("distributed_type: MULTI_NPU\nmixed_precison: bf16\nnum_machines: 2\nuse_cpu: true\n"
                    "deepspeed_config: {zero_stage: 2}\nmachine_rank: 1\ndebug: true\n")
                   .ignored) ==
        "deepspeed_config (distributed_type is MULTI_NPU)\n"
        "distributed_type MULTI_NPU (processes are data-parallel, see --zero_stage)\n"
        "mixed_precison (did you mean mixed_precision?)\n"
        "num_machines (the launcher places the processes)\nuse_cpu (use --device)\n"
        "machine_rank (the launcher places the processes)\ndebug");
  std::string many;
  for (int i = 0; i < 20'000; ++i) many += fmt::format("unknown_{}: 1\n", i);
  AccelerateCommand line;
  CHECK(line.lines(many).size() < 1000);
  CHECK(line.lines(many).ends_with("unknown_39 and 19960 more"));
}

TEST_CASE("Accelerate's own deepspeed_config") {
  const std::string text =
      "distributed_type: DEEPSPEED\ndeepspeed_config:\n  gradient_accumulation_steps: 4\n  gradient_clipping: 0.5\n"
      "  offload_optimizer_device: none\n  zero3_init_flag: true\n  zero3_save_16bit_model: true\n  zero_stage: 3\n";
  AccelerateCommand line;
  line.ranks = 2;
  CHECK(line.lines(text) == "acc.yaml sets gradient_accumulation_steps 4, max_grad_norm 0.5, zero_stage 3");
  CHECK(line.settings.gradient_accumulation_steps == 4);
  CHECK(line.settings.max_grad_norm == 0.5);
  CHECK(line.settings.zero_stage == 3);
  line = {};
  CHECK(line.lines(text) ==
        "ZeRO stage 3: one process, there is nothing to shard\n"
        "acc.yaml sets gradient_accumulation_steps 4, max_grad_norm 0.5");
  CHECK(line.settings.zero_stage == 1);
  line = {};
  line.ranks = 2;
  line.typed = {"zero_stage", "gradient_accumulation_steps"};
  CHECK_ERROR(line.apply(text), "deepspeed_config.gradient_accumulation_steps is 4, --gradient_accumulation_steps 1",
              "deepspeed_config.zero_stage is 3, --zero_stage 1");
  const auto section = [](const std::string& fields) {
    return read("distributed_type: DEEPSPEED\ndeepspeed_config: {" + fields + "}\n");
  };
  CHECK(!section("gradient_accumulation_steps: auto, gradient_clipping: auto").gradient_accumulation_steps);
  CHECK_ERROR(section("zero_stage: 4"), "deepspeed_config.zero_stage is 4, it must be 0 to 3");
  CHECK_ERROR(section("zero_stage: two"), "deepspeed_config.zero_stage must be an integer");
  CHECK_ERROR(section("zero_stage: [1]"), "deepspeed_config.zero_stage must be one value, found \"a list\"");
  CHECK_ERROR(section("gradient_accumulation_steps: 0"), "it must be 1 to");
  CHECK_ERROR(section("gradient_accumulation_steps: 99999999999999999999"), "must be an integer");
  CHECK_ERROR(section("gradient_clipping: .nan"), "gradient_clipping must be a number from 0");
  CHECK_ERROR(read("deepspeed_config: 3\n"), "deepspeed_config must be a map");
  CHECK(joined(section("zero_stage: 2, zero_stag: 1, offload_param_device: nvme").ignored) ==
        "deepspeed_config.zero_stag (did you mean zero_stage?)\n"
        "deepspeed_config.offload_param_device (nothing is offloaded)");
}

TEST_CASE("deepspeed_config_file: beside the working directory or the YAML file") {
  const test::TemporaryFolder folder;
  write_file(folder / "acc.yaml", "distributed_type: DEEPSPEED\ndeepspeed_config:\n  deepspeed_config_file: ds.json\n");
  AccelerateConfig config = read_accelerate_config(folder / "acc.yaml");
  CHECK(config.deepspeed_file() == folder / "ds.json");
  CHECK(config.ignored.empty());
  CHECK(!read("distributed_type: DEEPSPEED\n").deepspeed_file());
  CHECK(joined(read("deepspeed_config: {deepspeed_config_file: a.json, zero_stage: 2}").ignored) ==
        "other fields of deepspeed_config (the file of deepspeed_config_file applies)");
  config = read("deepspeed_config: {zero_stage: 2, gradient_clipping: 1}");
  config.prefer_deepspeed_flag();
  CHECK(!config.zero_stage);
  CHECK(joined(config.ignored) == "deepspeed_config (the file of --deepspeed_config applies)");
}

TEST_CASE("FSDP's sharding is the ZeRO stage that shards the same") {
  const auto stage = [](const std::string& fields) {
    return read("distributed_type: FSDP\nfsdp_config: {" + fields + "}\n").zero_stage;
  };
  CHECK(stage("") == 3);
  CHECK(stage("fsdp_sharding_strategy: FULL_SHARD") == 3);
  CHECK(stage("fsdp_sharding_strategy: SHARD_GRAD_OP") == 2);
  CHECK(stage("fsdp_sharding_strategy: NO_SHARD") == 0);
  CHECK(stage("fsdp_sharding_strategy: 1") == 3);
  CHECK(stage("fsdp_sharding_strategy: 2") == 2);
  CHECK(stage("fsdp_sharding_strategy: 3") == 0);
  CHECK(stage("fsdp_version: 2, fsdp_reshard_after_forward: true") == 3);
  CHECK(stage("fsdp_version: 2, fsdp_reshard_after_forward: false") == 2);
  CHECK(stage("fsdp_reshard_after_forward: SHARD_GRAD_OP") == 2);
  CHECK_ERROR(stage("fsdp_sharding_strategy: SOME_SHARD"), "fsdp_config.fsdp_sharding_strategy is \"SOME_SHARD\"",
              "FULL_SHARD");
  CHECK_ERROR(stage("fsdp_sharding_strategy: 6"), "is \"6\"");
  AccelerateCommand line;
  line.ranks = 2;
  const std::string text =
      "distributed_type: FSDP\nfsdp_config:\n  fsdp_sharding_strategy: FULL_SHARD\n"
      "  fsdp_activation_checkpointing: true\n";
  CHECK(line.lines(text) == "acc.yaml sets gradient_checkpointing true, zero_stage 3");
  CHECK(line.settings.gradient_checkpointing);
  line = {};
  line.ranks = 2;
  line.typed = {"zero_stage"};
  CHECK(line.lines("distributed_type: FSDP\n") == "");  // FSDP's default does not contradict a flag
  CHECK(line.settings.zero_stage == 1);
  CHECK_ERROR(line.apply(text), "fsdp_config.fsdp_sharding_strategy is 3, --zero_stage 1");
  CHECK(joined(read("distributed_type: MULTI_GPU\nfsdp_config: {fsdp_sharding_strategy: FULL_SHARD}\n").ignored) ==
        "fsdp_config (distributed_type is MULTI_GPU)");
}
