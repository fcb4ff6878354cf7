#pragma once

// The oracle: every operation of backend/backend.hpp in plain loops, on float, double or std::complex<double>.

#include "moderngpt2/backend/reference/attention.hpp"
#include "moderngpt2/backend/reference/backend.hpp"
#include "moderngpt2/backend/reference/embedding.hpp"
#include "moderngpt2/backend/reference/gated_activation.hpp"
#include "moderngpt2/backend/reference/losses.hpp"
#include "moderngpt2/backend/reference/matmul.hpp"
#include "moderngpt2/backend/reference/norm.hpp"
#include "moderngpt2/backend/reference/optimizer.hpp"
#include "moderngpt2/backend/reference/rotary.hpp"
#include "moderngpt2/backend/reference/rows.hpp"
