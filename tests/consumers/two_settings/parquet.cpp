// Compiled with MODERNGPT2_HAVE_PARQUET; no_parquet.cpp of the same program is not.
#include "moderngpt2/data/parquet_reader.hpp"
#include "moderngpt2/data/parquet_writer.hpp"

#ifndef MODERNGPT2_HAVE_PARQUET
#error "MODERNGPT2_HAVE_PARQUET is not defined"
#endif
