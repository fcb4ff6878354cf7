#pragma once

#include <vector>

#include "moderngpt2/model/heads.hpp"

using Model = moderngpt2::CausalLM<moderngpt2::any_shape>;

std::vector<int> continue_text(Model& model);
