#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/cli/input_text.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

/// Reads prompts: from a .txt file one per line, from a .jsonl file the field "prompt" of each line's object. Skips
/// blank lines. Throws Error that names file and line.
inline std::vector<std::string> read_prompts(const std::filesystem::path& path) {
  if (path == "-")
    throw Error(
        "--prompts_file -: standard input is read as one prompt if --prompts_file and --prompt are absent; put "
        "several prompts into a .txt or .jsonl file");
  const std::string extension = path.extension().string();
  if (extension != ".txt" && extension != ".jsonl")
    throw Error("{}: prompts must be in a .txt file, one per line, or in a .jsonl file", path.string());
  const std::string content = read_file(path);
  std::string_view text = without_byte_order_mark(content);
  std::vector<std::string> prompts;
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    line = without_line_end(line);
    if (line.find_first_not_of(" \t") == line.npos) continue;
    const std::string where = fmt::format("{}, line {}", path.string(), number);
    prompts.push_back(extension == ".txt" ? std::string(line)
                                          : get_field<std::string>(parse_json(line, where), "prompt", where));
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
