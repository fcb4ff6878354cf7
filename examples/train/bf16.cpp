// The part of `train` that computes in bf16: a file of its own, so that builds are parallel.

#include "moderngpt2/run/run.hpp"

template int moderngpt2::detail::run_model<moderngpt2::CausalLMInBf16>(const moderngpt2::TrainingRequest&,
                                                                       const moderngpt2::PreparedRun&,
                                                                       const moderngpt2::TrainingHooks&);
