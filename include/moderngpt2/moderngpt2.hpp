#pragma once

// Most of the library. Include by their own names: what needs a further package (data/dataset.hpp, tokenizer/train.hpp,
// distributed/mpi.hpp, backend/cuda.hpp, cli/), tasks (training/tasks/), plans of memory (run/plan.hpp) and helpers for
// tests (testing/). docs/library.md lists all.

// clang-format off
#include "moderngpt2/core/requirements.hpp"  // first: its messages come before those of the compiler
// clang-format on

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/backend/reference.hpp"
#include "moderngpt2/backend/register_activation.hpp"
#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/core/version.hpp"
#include "moderngpt2/data/blocks.hpp"
#include "moderngpt2/data/order.hpp"
#include "moderngpt2/generation/batch_generator.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/generation_config.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/io/model_folder.hpp"
#include "moderngpt2/model/dispatch.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/model/session.hpp"
#include "moderngpt2/tokenizer/stream_decoder.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "moderngpt2/training/schedule.hpp"
#include "moderngpt2/training/trainer.hpp"
