// YAML config of Accelerate.
#include "fuzz.hpp"
#include "moderngpt2/run/accelerate_config.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  seeds.add(
      "compute_environment: LOCAL_MACHINE\ndebug: false\ndeepspeed_config:\n  gradient_accumulation_steps: 1\n"
      "  zero_stage: 2\ndistributed_type: DEEPSPEED\ndowncast_bf16: 'no'\nmachine_rank: 0\nmixed_precision: bf16\n"
      "num_machines: 1\nnum_processes: 2\nuse_cpu: false\n");
  seeds.add("a: &x {b: 1}\nfsdp_config: *x\nmixed_precision: no\n");
  seeds.words({"mixed_precision: ", "num_processes: ", "deepspeed_config: ", "fsdp_config: ", "&a ", "*a", "<<: *a",
               "[[[[[[[[", "{{{{", "- - - -", "!!int ", "|\n", "? ", "---\n", "'", "\"\\x00\"", "9223372036854775808"});
}

void fuzz::run(std::string_view input) { (void)parse_accelerate_config(std::string(input), "fuzz.yaml"); }
