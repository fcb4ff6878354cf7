#pragma once

// The CUDA backend: operations of backend/backend.hpp on float, bf16 and f16. Link moderngpt2::cuda, or define
// MODERNGPT2_CUDA_SIMULATED for one that runs on the CPU.

#include "moderngpt2/backend/cuda/attention.hpp"
#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/classifier.hpp"
#include "moderngpt2/backend/cuda/column_sum.hpp"
#include "moderngpt2/backend/cuda/elementwise.hpp"
#include "moderngpt2/backend/cuda/embedding.hpp"
#include "moderngpt2/backend/cuda/gated_activation.hpp"
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
