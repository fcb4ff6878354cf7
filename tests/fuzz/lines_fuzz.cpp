// Lines of a file, whole and in pieces of at most 16 bytes. Together they must be the file.
#include <memory>

#include "fuzz.hpp"
#include "moderngpt2/data/line_reader.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  seeds.add(
      "\xEF\xBB\xBF"
      "first\r\n\nthird line, which is longer than a piece \xF0\x9F\x98\x80 caf\xC3\xA9\r\nlast");
  seeds.words({"\r\n", "\n\n", "\xEF\xBB\xBF", "\xF0\x9F\x98\x80", "\xE2\x96\x81"});
}

void fuzz::run(std::string_view input) {
  const std::filesystem::path path = file("lines.txt", input);
  if (input.starts_with("\xEF\xBB\xBF")) input.remove_prefix(3);
  std::vector<std::string> expected;
  for (std::string_view rest = input; !rest.empty();) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    expected.emplace_back(line);
  }
  for (const std::size_t limit : {std::size_t{1} << 20, std::size_t{16}}) {
    LineReader reader(std::make_unique<FileReader>(path), limit);
    std::vector<std::string> lines;
    bool is_open = false;
    for (std::string_view line; reader.next(line);) {
      if (line.size() > limit) fail("a piece beyond the limit");
      if (!is_open) lines.emplace_back();
      lines.back() += line;
      is_open = reader.unfinished();
      if (reader.number() != static_cast<std::int64_t>(lines.size())) fail("another number of a line");
    }
    if (lines != expected) fail("other lines than in the file, with a limit of " + std::to_string(limit));
  }
}
