#pragma once

// The CUDA backend: the operations of backend/backend.hpp and backend/host.hpp on float, bf16 and f16. Link the target
// moderngpt2::cuda, or define MODERNGPT2_CUDA_SIMULATED for a simulated GPU that runs on the CPU.
//
// Each operation is two files: NAME.hpp has the functions that layers call, kernels/NAME.cuh the kernels and the
// structs that launch them.

#include "moderngpt2/backend/cuda/attention.hpp"
#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/classifier.hpp"
#include "moderngpt2/backend/cuda/column_sum.hpp"
#include "moderngpt2/backend/cuda/elementwise.hpp"
#include "moderngpt2/backend/cuda/embedding.hpp"
#include "moderngpt2/backend/cuda/gated_activation.hpp"
#include "moderngpt2/backend/cuda/gradient_hash.hpp"
#include "moderngpt2/backend/cuda/heads.hpp"
#include "moderngpt2/backend/cuda/losses.hpp"
#include "moderngpt2/backend/cuda/matmul.hpp"
#include "moderngpt2/backend/cuda/norm.hpp"
#include "moderngpt2/backend/cuda/optimizer.hpp"
#include "moderngpt2/backend/cuda/rotary.hpp"
#include "moderngpt2/backend/cuda/rows.hpp"
#include "moderngpt2/backend/cuda/sampling.hpp"
#include "moderngpt2/backend/cuda/scratch.hpp"
#include "moderngpt2/backend/cuda/step_graph.hpp"
#include "moderngpt2/backend/cuda/transfer.hpp"
