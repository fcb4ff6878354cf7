// Regular expressions: pattern, a zero byte, text. An accepted pattern matches without overlap, in bounded time.
#include "fuzz.hpp"
#include "moderngpt2/tokenizer/regex.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  using namespace std::string_view_literals;
  for (const std::string_view pattern :
       {"(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}]+[\\r\\n]*|\\s+(?!\\S)"sv,
        "[a-z&&[^b]]+|\\w\\b"sv, "(?<n>a)\\k<n>|[[:alpha:]]\\p{Han}{2}?+"sv, "(?x) a # b\n (?m-i:.)*?"sv})
    seeds.add(std::string(pattern) + std::string("\0it's 12 \xE4\xB8\xAD\n", 13));
  seeds.words({"\\p{", "[[:", ":]]", "(?<", "(?i)", "&&", "{1,3}", "\\x{", "(?>", "\\R"});
}

void fuzz::run(std::string_view input) {
  const std::size_t end = std::min(input.find('\0'), input.size());
  const detail::Regex regex(input.substr(0, end), "fuzz.json");
  const std::string text = replace_invalid_utf8(input.substr(std::min(end + 1, input.size())));
  std::size_t last = 0;
  regex.for_each_match(text, [&](std::size_t begin, std::size_t stop) {
    if (begin < last || stop < begin || stop > text.size()) fail("matches overlap");
    last = stop;
  });
}
