#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/data/line_reader.hpp"
#include "moderngpt2/io/file.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

TEST_CASE("lines with CRLF have no carriage return, wherever they are split into pieces") {
  const TemporaryFolder folder;
  for (std::size_t length = 10; length < 60; ++length) {
    const std::string first(length, 'x');
    write_file(folder / "lines.txt", first + "\r\n\r\nlast");
    LineReader reader(std::make_unique<FileReader>(folder / "lines.txt"), 16);
    std::vector<std::string> lines;
    bool is_open = false;
    for (std::string_view piece; reader.next(piece); is_open = reader.unfinished()) {
      CHECK(piece.size() <= 16);
      if (!is_open) lines.emplace_back();
      lines.back() += piece;
    }
    CHECK(lines == std::vector<std::string>{first, "", "last"});
  }
}
