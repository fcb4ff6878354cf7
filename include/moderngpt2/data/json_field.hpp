#pragma once

#include <string>
#include <string_view>

#include <fmt/format.h>

#include "moderngpt2/data/json_scanner.hpp"
#include "moderngpt2/io/json_string.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

/// Extracts the string under `field` from the JSON object `line` into `out`. Returns an error description, empty on
/// success. Does not use simdjson, because Arrow's libparquet exports another version of it under equal names.
inline std::string read_json_field(std::string_view line, std::string_view field, std::string& out) {
  out.clear();
  detail::JsonScanner scanner{std::string(field)};
  scanner.begin();
  const bool complete = scanner.scan(line) == detail::JsonScanner::State::complete;
  if (!complete || line.find_first_not_of(" \t\r\n", scanner.position()) != line.npos)
    return fmt::format("broken JSON at byte {} of the line", scanner.position() + 1);
  if (valid_utf8_prefix(line) != line.size()) return "the line is not UTF-8";
  if (std::string problem = scanner.problem(); !problem.empty()) return problem;
  detail::append_json_string(scanner.field_text(line), out);
  return "";
}

}  // namespace moderngpt2
