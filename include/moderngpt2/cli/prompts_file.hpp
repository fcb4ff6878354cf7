#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/input_text.hpp"
#include "moderngpt2/core/ascii.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/json_string.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

/// Reads prompts: from a .txt file one per line, from a JSON file the field "prompt" of each line's object or of each
/// object in a list. Skips blank lines. Throws Error that names file and line.
inline std::vector<std::string> read_prompts(const std::filesystem::path& path) {
  if (path == "-")
    throw Error(
        "--prompts_file -: standard input is read as one prompt if --prompts_file and --prompt are absent; put "
        "several prompts into a .txt or .jsonl file");
  const std::string extension = lower_case(path.extension().string());
  const bool is_json = extension == ".json" || extension == ".jsonl" || extension == ".ndjson";
  if (!is_json && extension != ".txt")
    throw Error("{}: prompts must be in a .txt file, one per line, or in a .json or .jsonl file", path.string());
  const std::string content = read_file(path);
  std::string_view text = without_byte_order_mark(content);
  std::vector<std::string> prompts;
  if (is_json && text.substr(std::min(text.find_first_not_of(" \t\r\n"), text.size())).starts_with('[')) {
    const Json list = parse_json(detail::nan_as_null(text), path.string());
    for (std::size_t i = 0; i < list.size(); ++i)
      prompts.push_back(get_field<std::string>(list[i], "prompt", fmt::format("{}, item {}", path.string(), i + 1)));
    text = {};
  }
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    line = without_line_end(line);
    if (line.find_first_not_of(" \t") == line.npos) continue;
    const std::string where = fmt::format("{}, line {}", path.string(), number);
    if (const std::size_t valid = valid_utf8_prefix(line); valid != line.size())
      throw Error("{}: not UTF-8 from byte {} of the line on. Convert the file with iconv.", where, valid + 1);
    prompts.push_back(is_json ? get_field<std::string>(parse_json(detail::nan_as_null(line), where), "prompt", where)
                              : std::string(line));
  }
  if (prompts.empty()) throw Error("{}: the file contains no prompts", path.string());
  return prompts;
}

/// Formats a completion as a line of JSON with a line feed. Invalid UTF-8 becomes U+FFFD.
inline std::string completion_line(const std::string& prompt, const std::string& completion) {
  const Json line{{"prompt", prompt}, {"completion", completion}};
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace moderngpt2
