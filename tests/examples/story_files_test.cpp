#include <cstddef>
#include <string>

#include <doctest/doctest.h>
#include <zlib.h>

#include "make_stories/story_files.hpp"
#include "support/temporary_folder.hpp"

namespace {

using moderngpt2::StoryLanguage;

std::string unzipped(const std::filesystem::path& path) {
  const gzFile file = gzopen(path.c_str(), "rb");
  REQUIRE(file != nullptr);
  std::string text, buffer(100000, '\0');
  for (int n; (n = gzread(file, buffer.data(), static_cast<unsigned>(buffer.size()))) > 0;)
    text.append(buffer, 0, static_cast<std::size_t>(n));
  CHECK(gzclose(file) == Z_OK);
  return text;
}

TEST_CASE("a story file is gzip, with a JSON object a line that holds its story") {
  const moderngpt2::test::TemporaryFolder folder;
  for (const StoryLanguage language : {StoryLanguage::english, StoryLanguage::japanese}) {
    const auto path = folder / "stories.json.gz";
    const std::uint64_t bytes = moderngpt2::write_story_file(path, language, 3, 100, 700);
    const std::string text = unzipped(path);
    std::uint64_t lines = 0, seen = 0;
    for (std::size_t begin = 0; begin < text.size(); ++lines) {
      const std::size_t end = text.find('\n', begin);
      REQUIRE(end != std::string::npos);
      const moderngpt2::Json line = moderngpt2::parse_json(text.substr(begin, end - begin), "line");
      REQUIRE(line.at("text") == moderngpt2::story(language, 3, 100 + lines));
      REQUIRE(line.at("timestamp").is_string());
      REQUIRE(line.at("url").is_string());
      seen += line.at("text").get<std::string>().size();
      begin = end + 1;
    }
    CHECK(lines == 700);
    CHECK(seen == bytes);
    const std::string once = moderngpt2::read_file(path);
    moderngpt2::write_story_file(path, language, 3, 100, 700);
    CHECK(moderngpt2::read_file(path) == once);
  }
}

TEST_CASE("a language without stories, and a folder that is not there, are errors") {
  CHECK(moderngpt2::story_language("ja") == StoryLanguage::japanese);
  CHECK_THROWS_AS(moderngpt2::story_language("ko"), moderngpt2::UsageError);
  CHECK_THROWS_AS(moderngpt2::write_story_file("/nonexistent/a.json.gz", StoryLanguage::english, 1, 0, 1),
                  moderngpt2::Error);
}

}  // namespace
