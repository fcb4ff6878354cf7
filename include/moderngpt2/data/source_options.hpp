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

/// Text inputs and how they are split into documents.
struct SourceOptions {
  std::vector<std::string> inputs;                       ///< files, globs, folders; LANGUAGE=INPUT sets a language
  TextPart part = TextPart::train;                       ///< files of the inputs to read
  std::string text_column = "text";                      // JSON field or Parquet column with the text
  TextDocument text_document = TextDocument::paragraph;  ///< end of a document in .txt files
  std::int64_t max_documents = 0;                        ///< maximum over all languages; 0: no limit
  bool strict = false;  ///< whether a line without a document is an Error instead of a warning
  /// Maximum fraction of a file's bytes that are not UTF-8, 0 to 1. Such bytes become U+FFFD, with a warning for each
  /// file; a larger fraction is an Error. With `strict`, the first such byte is an Error.
  double max_invalid_utf8 = 0.01;
  /// Maximum size of a document. Longer JSON lines are skipped, other longer text is split. Bounds the memory of a run:
  /// a unigram tokenizer can need twenty times the size of a text that is one word.
  std::size_t max_document_bytes = std::size_t{1} << 24;
  /// Maximum bytes of text read ahead, over all languages, with one thread per language; 0: no threads.
  std::size_t read_ahead_bytes = 0;
  std::function<void(const std::string&)> warn;  ///< receives one line; optional
  /// Receives one line about files of the inputs that are not used for training; optional.
  std::function<void(const std::string&)> note;
  bool evaluates = false;  ///< whether these lines say that validation files are evaluated

  /// Function that opens a Parquet file: open_parquet_text (parquet_text.hpp) in programs that link Arrow.
  using OpenParquet = std::unique_ptr<DocumentReader> (*)(const TextFile& file, const std::string& text_column,
                                                          std::size_t max_document_bytes);
  OpenParquet open_parquet = nullptr;
};

}  // namespace moderngpt2
