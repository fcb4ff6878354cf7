#pragma once

#include "moderngpt2/io/checkpoint_files.hpp"
#include "moderngpt2/io/safetensors_header.hpp"
#include "moderngpt2/io/safetensors_reader.hpp"
#include "moderngpt2/io/safetensors_writer.hpp"
