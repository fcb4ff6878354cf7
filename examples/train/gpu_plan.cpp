// Plans of runs on GPUs, for builds without CUDA. Empty in other builds.

#if !defined(MODERNGPT2_HAVE_CUDA) && !defined(MODERNGPT2_CUDA_SIMULATED)

// A plan needs the types and sizes of the CUDA backend but no GPU: the headers of the simulated GPU need no CUDA
// toolkit. No other file of the program uses the backend.
#define MODERNGPT2_CUDA_SIMULATED 1

#include "gpu.hpp"
#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/run/run_plan.hpp"
#include "moderngpt2/training/tasks/multiple_choice.hpp"
#include "moderngpt2/training/tasks/question_answering.hpp"
#include "moderngpt2/training/tasks/sequence_classification.hpp"
#include "moderngpt2/training/tasks/token_classification.hpp"

namespace moderngpt2::train_program {

void require_gpu(const std::string& device, bool dry_run, bool cudnn_attention) {
  if (!dry_run) throw no_cuda(device);
  if (cudnn_attention)
    throw UsageError(
        "--cudnn_attention: this program was built without CUDA and plans only its own attention kernels. Leave the "
        "flag out");
}

template <class Task>
int run_on_gpu(const TrainingRequest& request, const PreparedRun<Task>& run, const TrainingHooks& hooks) {
  return with_precision(request.precision, [&]<class Precision>(Precision) {
    return detail::plan_without_device<typename Task::template Model<cuda::Backend, Precision>>(request, run, hooks);
  });
}

template int run_on_gpu(const TrainingRequest&, const PreparedRun<LanguageModelling>&, const TrainingHooks&);
template int run_on_gpu(const TrainingRequest&, const PreparedRun<SequenceClassification>&, const TrainingHooks&);
template int run_on_gpu(const TrainingRequest&, const PreparedRun<TokenClassification>&, const TrainingHooks&);
template int run_on_gpu(const TrainingRequest&, const PreparedRun<QuestionAnswering>&, const TrainingHooks&);
template int run_on_gpu(const TrainingRequest&, const PreparedRun<MultipleChoice>&, const TrainingHooks&);

}  // namespace moderngpt2::train_program

#endif
