#pragma once

// Reference backend: all operations of backend/backend.hpp in plain loops, on float, double or std::complex<double>.

#include "moderngpt2/backend/reference/attention.hpp"
#include "moderngpt2/backend/reference/losses.hpp"
#include "moderngpt2/backend/reference/norm.hpp"
#include "moderngpt2/backend/reference/operations.hpp"
#include "moderngpt2/backend/reference/optimizer.hpp"
