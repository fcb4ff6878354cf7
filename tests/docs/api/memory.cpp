#include <cstdio>

#include <moderngpt2/moderngpt2.hpp>
#include <moderngpt2/run/plan.hpp>

using namespace moderngpt2;

int main() {
  const Config config = size_config(12, 768, 12, 32000);
  TrainingSettings settings;  // AdamW, one process
  settings.per_device_train_batch_size = 2, settings.per_device_eval_batch_size = 1;
  const MemoryPlan plan = plan_memory<CausalLM<any_shape>>(config, settings, 1024, 2);  // blocks of 1024, 2 threads
  std::printf("%s", plan_text(plan).c_str());
  return 0;
}
