#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

/// Replaces comments (# and // to the end of the line, /* */) and the comma after a last item by spaces. The result is
/// strict JSON if the text is otherwise valid, and errors keep their line and column.
inline std::string without_json_comments(std::string_view text) {
  std::string out(text);
  std::size_t comma = out.npos;  // position of a comma after an item, while only white space and comments follow
  char before = '\0';            // last character outside white space and comments
  const auto blank = [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      if (out[i] != '\n' && out[i] != '\r') out[i] = ' ';
  };
  for (std::size_t i = 0; i < out.size();) {
    const char c = out[i];
    if (c == '"') {
      for (++i; i < out.size() && out[i] != '"' && out[i] != '\n'; ++i)
        if (out[i] == '\\') ++i;
      ++i, comma = out.npos, before = c;
    } else if (c == '#' || text.substr(i, 2) == "//") {
      const std::size_t end = std::min(text.find('\n', i), text.size());
      blank(i, end), i = end;
    } else if (text.substr(i, 2) == "/*" && text.find("*/", i + 2) != text.npos) {
      const std::size_t end = text.find("*/", i + 2) + 2;
      blank(i, end), i = end;
    } else {
      if ((c == '}' || c == ']') && comma != out.npos) out[comma] = ' ';
      const bool space = c == ' ' || c == '\t' || c == '\r' || c == '\n';
      if (!space) comma = c == ',' && before != ',' && before != '[' && before != '{' ? i : out.npos;
      if (!space) before = c;
      ++i;
    }
  }
  return out;
}

/// Reads a JSON file that may contain comments and a comma after a last item.
inline Json read_commented_json_file(const std::filesystem::path& path, std::size_t limit = 100'000'000) {
  return parse_json(without_json_comments(read_file(path, limit)), path.string());
}

}  // namespace moderngpt2
