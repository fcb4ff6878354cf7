#include "moderngpt2/run/run.hpp"
#include "moderngpt2/training/tasks/sequence_classification.hpp"

template int moderngpt2::run_training<moderngpt2::SequenceClassification>(const TrainingRequest&, const TrainingHooks&,
                                                                          RunOnGpu<SequenceClassification>);
