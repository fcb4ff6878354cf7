// Language models of `train` in bf16 on the CPU.

#include "moderngpt2/run/run.hpp"

template int moderngpt2::detail::run_model<moderngpt2::CausalLMInBf16>(const TrainingRequest&, const PreparedRun<>&,
                                                                       const TrainingHooks&);
