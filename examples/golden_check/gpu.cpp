#include <utility>

#include "gpu.hpp"
#include "moderngpt2/core/error.hpp"

#if defined(MODERNGPT2_HAVE_CUDA) || defined(MODERNGPT2_CUDA_SIMULATED)

#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/testing/golden.hpp"

using namespace moderngpt2;

golden::Results run_on_gpu(const golden::Case& c, PrecisionName precision, bool simulated) {
#ifdef MODERNGPT2_CUDA_SIMULATED
  if (!simulated) throw UsageError("--backend cuda: this program has a simulated GPU: use --backend cuda-simulated");
#else
  if (simulated) throw UsageError("--backend cuda-simulated: this program has CUDA: use --backend cuda");
#endif
  cuda::Backend backend;
  backend.use_tf32(precision == PrecisionName::tf32);
  return with_precision(precision, [&]<class Precision>(Precision) {
    return golden::run<any_shape, cuda::Backend, Precision>(c, std::move(backend));
  });
}

#else

using namespace moderngpt2;

golden::Results run_on_gpu(const golden::Case&, PrecisionName, bool simulated) {
  if (simulated)
    throw UsageError(
        "--backend cuda-simulated: this program has no simulated GPU: golden_check_simulated has, which "
        "is built with -DMODERNGPT2_BUILD_TESTS=ON");
  throw UsageError("--backend cuda: this build has no CUDA: configure with -DMODERNGPT2_CUDA=ON");
}

#endif
