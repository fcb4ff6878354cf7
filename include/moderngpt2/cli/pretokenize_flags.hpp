#pragma once

#include <initializer_list>

#include "moderngpt2/cli/options.hpp"

namespace moderngpt2 {

/// Flags of the Python original's pre-tokenizer that set nothing here: accepted, with a note about what holds instead.
inline void add_ignored_pretokenize_flags(Options& options) {
  const auto ignore = [&](std::initializer_list<const char*> names, const char* note) {
    for (const char* name : names) options.add_ignored(name, note);
  };
  ignore({"dataset_streaming", "no_dataset_streaming"},
         "text is always read as it is needed, and encoded by --num_proc threads");
  ignore({"language"}, "--input names the files to read, --c4_langs the languages to stream");
  ignore({"num_workers"}, "a thread reads each language, --num_proc threads encode");
  ignore({"save_every_n_lines", "save_batch_size"}, "--resume goes on after the last finished shard");
  ignore({"interleave_by_document"}, "languages always take turns document by document");
  ignore({"documents_per_batch", "process_languages_separately", "max_memory_gb", "memory_check_interval", "batch_size",
          "writer_batch_size"},
         "nothing to set, memory is bounded whatever the text");
}

}  // namespace moderngpt2
