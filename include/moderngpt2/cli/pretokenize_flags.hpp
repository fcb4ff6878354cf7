#pragma once

#include <initializer_list>

#include "moderngpt2/cli/options.hpp"

namespace moderngpt2 {

/// Accepts flags of the Python original's pre-tokenizer that have no effect here, each with a note that says why.
inline void add_ignored_pretokenize_flags(Options& options) {
  const auto ignore = [&](std::initializer_list<const char*> names, const char* note) {
    for (const char* name : names) options.add_ignored(name, note);
  };
  ignore({"dataset_streaming", "no_dataset_streaming"},
         "ignored: text is always streamed, and encoded by --num_proc threads");
  ignore({"language"}, "ignored: --input names the files to read, --c4_langs the languages to stream");
  ignore({"num_workers"}, "ignored: one thread reads each language, and --num_proc threads encode");
  ignore({"save_every_n_lines", "save_batch_size"}, "ignored: --resume continues after the last finished shard");
  ignore({"interleave_by_document"}, "ignored: languages are always interleaved by document");
  ignore({"documents_per_batch", "process_languages_separately", "max_memory_gb", "memory_check_interval", "batch_size",
          "writer_batch_size"},
         "ignored: memory is bounded for any text");
}

}  // namespace moderngpt2
