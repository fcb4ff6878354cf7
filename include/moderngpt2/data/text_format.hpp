#pragma once

#include <filesystem>
#include <string>

#include "moderngpt2/core/ascii.hpp"
#include "moderngpt2/core/separate_compilation.hpp"

namespace moderngpt2 {

/// Format of a text file according to its name.
struct TextFormat {
  enum class Content { unknown, json_lines, text, parquet };
  enum class Packing { none, gzip, zstd };
  Content content = Content::unknown;
  Packing packing = Packing::none;
};

/// Format according to the name's suffix in any letter case: .json, .jsonl, .ndjson or .txt, optionally followed by .gz
/// or .zst; or .parquet.
TextFormat text_format(const std::filesystem::path& path);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE TextFormat text_format(const std::filesystem::path& path) {
  TextFormat format;
  std::string name = lower_case(path.filename().string());
  if (name.ends_with(".gz"))
    format.packing = TextFormat::Packing::gzip, name.resize(name.size() - 3);
  else if (name.ends_with(".zst"))
    format.packing = TextFormat::Packing::zstd, name.resize(name.size() - 4);
  if (name.ends_with(".json") || name.ends_with(".jsonl") || name.ends_with(".ndjson"))
    format.content = TextFormat::Content::json_lines;
  else if (name.ends_with(".txt"))
    format.content = TextFormat::Content::text;
  else if (name.ends_with(".parquet") && format.packing == TextFormat::Packing::none)
    format.content = TextFormat::Content::parquet;
  return format;
}

}  // namespace moderngpt2

#endif
