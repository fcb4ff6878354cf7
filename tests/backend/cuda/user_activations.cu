#include "backend/user_activations.hpp"
#include "moderngpt2/backend/cuda/kernels/user_activation.cuh"

MODERNGPT2_CUDA_ACTIVATION(moderngpt2::test::StarRelu);
MODERNGPT2_CUDA_ACTIVATION(moderngpt2::test::Snake);
