#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "moderngpt2/data/byte_reader.hpp"
#include "moderngpt2/data/compressed_readers.hpp"
#include "moderngpt2/data/text_files.hpp"

namespace moderngpt2 {

/// Opens a file, decompressed according to its name.
inline std::unique_ptr<ByteReader> open_bytes(const TextFile& file) {
  switch (file.format.packing) {
    case TextFormat::Packing::gzip:
      return std::make_unique<GzipReader>(file.path);
    case TextFormat::Packing::zstd:
      return std::make_unique<ZstdReader>(file.path);
    case TextFormat::Packing::none:
      break;
  }
  return std::make_unique<FileReader>(file.path);
}

/// First `limit` bytes of a file, after decompression.
inline std::string read_beginning(const TextFile& file, std::size_t limit) {
  const std::unique_ptr<ByteReader> bytes = open_bytes(file);
  std::string text(limit, '\0');
  std::size_t size = 0;
  while (size < limit) {
    const std::size_t count = bytes->read(text.data() + size, limit - size);
    if (count == 0) break;
    size += count;
  }
  text.resize(size);
  return text;
}

}  // namespace moderngpt2
