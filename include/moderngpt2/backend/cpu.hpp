#pragma once

// CPU backend: all operations of backend/backend.hpp, on float and bf16.

#include "moderngpt2/backend/cpu/attention.hpp"
#include "moderngpt2/backend/cpu/attention_backward.hpp"
#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/embedding.hpp"
#include "moderngpt2/backend/cpu/gated_activation.hpp"
#include "moderngpt2/backend/cpu/instances.hpp"
#include "moderngpt2/backend/cpu/losses.hpp"
#include "moderngpt2/backend/cpu/matmul.hpp"
#include "moderngpt2/backend/cpu/norm.hpp"
#include "moderngpt2/backend/cpu/optimizer.hpp"
#include "moderngpt2/backend/cpu/product.hpp"
#include "moderngpt2/backend/cpu/quantized.hpp"
#include "moderngpt2/backend/cpu/rotary.hpp"
#include "moderngpt2/backend/cpu/rows.hpp"
#include "moderngpt2/backend/cpu/scratch.hpp"
