#pragma once

#include <string>
#include <string_view>

#include <fmt/format.h>

#include "moderngpt2/data/text_files.hpp"

namespace moderngpt2 {

/// Text as one word of a shell command: quoted if it has characters other than letters, digits and those of paths.
inline std::string shell_word(std::string_view text) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+=:,@%";
  if (!text.empty() && text.find_first_not_of(plain) == text.npos) return std::string(text);
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

/// Shell command that applies `program` to the text of a file, which may be compressed.
inline std::string shell_command(const TextFile& file, std::string_view program) {
  const std::string path = shell_word(file.path.string());
  switch (file.format.packing) {
    case TextFormat::Packing::gzip:
      return fmt::format("gzip -dc {} | {}", path, program);
    case TextFormat::Packing::zstd:
      return fmt::format("zstd -dc {} | {}", path, program);
    case TextFormat::Packing::none:
      break;
  }
  return fmt::format("{} {}", program, path);
}

}  // namespace moderngpt2
