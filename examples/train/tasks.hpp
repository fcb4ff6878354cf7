#pragma once

#include "moderngpt2/run/run.hpp"
#include "moderngpt2/training/tasks/multiple_choice.hpp"
#include "moderngpt2/training/tasks/question_answering.hpp"
#include "moderngpt2/training/tasks/sequence_classification.hpp"
#include "moderngpt2/training/tasks/token_classification.hpp"

// Instantiated in the files of this folder, each in its own: compiling a model and its trainer takes up to a minute.
namespace moderngpt2 {

extern template int run_training<SequenceClassification>(const TrainingRequest&, const TrainingHooks&,
                                                         RunOnGpu<SequenceClassification>);
extern template int run_training<TokenClassification>(const TrainingRequest&, const TrainingHooks&,
                                                      RunOnGpu<TokenClassification>);
extern template int run_training<QuestionAnswering>(const TrainingRequest&, const TrainingHooks&,
                                                    RunOnGpu<QuestionAnswering>);
extern template int run_training<MultipleChoice>(const TrainingRequest&, const TrainingHooks&,
                                                 RunOnGpu<MultipleChoice>);
extern template int detail::run_model<CausalLMInBf16>(const TrainingRequest&, const PreparedRun<>&,
                                                      const TrainingHooks&);

}  // namespace moderngpt2
