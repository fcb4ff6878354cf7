/// Encodes and decodes JSON lines of texts, for comparison with other tokenizer libraries:
///
///     tokenize_lines TOKENIZER < texts.jsonl > result.jsonl
///
/// Input lines: {"text": "..."}. Output lines: {"ids", "with_special", "decoded", "decoded_skip", "streamed"}, or
/// {"error"} for a text that fails. `ids` excludes the tokens of the post-processor, `streamed` is the text of
/// StreamDecoder with special tokens. Exit status 1 if the tokenizer cannot be loaded.

#include <cstddef>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/stream_decoder.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace {

using namespace moderngpt2;

Json tokenize(const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<int> ids = tokenizer.encode(text);
  std::vector<int> with_special = tokenizer.prefix_ids();
  with_special.insert(with_special.end(), ids.begin(), ids.end());
  with_special.insert(with_special.end(), tokenizer.suffix_ids().begin(), tokenizer.suffix_ids().end());
  StreamDecoder stream(tokenizer, /*skip_special_tokens=*/false);
  std::string streamed;
  for (const int id : ids) streamed += stream.put(id);
  streamed += stream.finish();
  return {{"ids", ids},
          {"with_special", with_special},
          {"decoded", tokenizer.decode(ids)},
          {"decoded_skip", tokenizer.decode(ids, /*skip_special_tokens=*/true)},
          {"streamed", streamed}};
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::fprintf(stderr, "usage: tokenize_lines TOKENIZER < texts.jsonl > result.jsonl\n");
    return 2;
  }
  const Tokenizer tokenizer = Tokenizer::load(argv[1]);
  std::ios::sync_with_stdio(false);
  std::string line, output;
  for (std::size_t number = 1; std::getline(std::cin, line); ++number) {
    try {
      const Json input = parse_json(line, "line " + std::to_string(number));
      output = tokenize(tokenizer, input.at("text").get<std::string>()).dump();
    } catch (const std::exception& error) {
      output = Json{{"error", error.what()}}.dump(-1, ' ', false, Json::error_handler_t::replace);
    }
    output += '\n';
    std::cout.write(output.data(), static_cast<std::streamsize>(output.size()));
  }
  return 0;
} catch (const moderngpt2::Error& error) {
  std::fprintf(stderr, "tokenize_lines: %s\n", error.what());
  return 1;
}
