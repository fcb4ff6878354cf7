#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "moderngpt2/data/document_reader.hpp"
#include "moderngpt2/data/text_files.hpp"

namespace moderngpt2 {

/// Where text comes from and how it is cut into documents.
struct SourceOptions {
  std::vector<std::string> inputs;                       // files, globs, folders
  std::string text_column = "text";                      // the field of a JSON line, or the column, that holds the text
  TextDocument text_document = TextDocument::paragraph;  // what ends a document of a .txt file
  std::int64_t max_documents = 0;                        // over all languages; 0 means all
  bool strict = false;                                   // a line without a document is an Error, not a warning
  // A longer JSON line gives no document, and other text comes as several. It bounds the memory of a run: a unigram
  // tokenizer can need twenty times as much for a text that is one word.
  std::size_t max_document_bytes = std::size_t{1} << 24;
  // How much text of all languages may wait for its turn, read by a thread for each language; 0: no threads.
  std::size_t read_ahead_bytes = 0;
  std::function<void(const std::string&)> warn;  // takes one line; may be empty

  /// Opens a Parquet file: open_parquet_text (parquet_text.hpp) in programs that link Arrow.
  using OpenParquet = std::unique_ptr<DocumentReader> (*)(const TextFile& file, const std::string& text_column,
                                                          std::size_t max_document_bytes);
  OpenParquet open_parquet = nullptr;
};

}  // namespace moderngpt2
