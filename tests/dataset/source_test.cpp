#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "dataset/text_samples.hpp"
#include "moderngpt2/data/source.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

struct SourceFixture {
  TemporaryFolder folder;
  SourceOptions options;
  std::vector<std::string> warnings;

  SourceFixture() {
    options.warn = [this](const std::string& line) { warnings.push_back(line); };
  }

  void add(const std::string& name, std::string_view bytes) {
    std::filesystem::create_directories((folder / name).parent_path());
    write_bytes(folder / name, bytes);
  }

  /// Texts of all documents of `inputs` (names in the folder).
  std::vector<std::string> read(const std::vector<std::string>& inputs) {
    options.inputs.clear();
    for (const std::string& input : inputs) options.inputs.push_back((folder / input).string());
    DocumentSource source(options);
    std::vector<std::string> texts;
    const std::size_t seen = warnings.size();
    for (Document document; source.next(document);) texts.push_back(document.text);
    CHECK(source.bytes_read() <= source.total_bytes());
    if (options.read_ahead_bytes == 0) {  // with threads: equal documents and warnings
      const std::vector<std::string> before = std::exchange(warnings, {});
      options.read_ahead_bytes = 1000;
      CHECK(read(inputs) == texts);
      options.read_ahead_bytes = 0;
      CHECK(warnings == std::vector<std::string>(before.begin() + static_cast<std::ptrdiff_t>(seen), before.end()));
      warnings = before;
    }
    return texts;
  }

  std::string error(const std::vector<std::string>& inputs) {
    try {
      read(inputs);
    } catch (const Error& refused) {
      const std::string text = refused.what();
      const std::string prefix = folder.path().string() + "/";
      const std::size_t found = text.find(prefix);
      return found == std::string::npos ? text : text.substr(0, found) + text.substr(found + prefix.size());
    }
    return "read";
  }
};

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE_FIXTURE(SourceFixture, "every format gives the same documents") {
  const std::string json =
      "{\"text\": \"a\\nb\", \"url\": [1, {\"text\": \"no\"}]}\r\n\n{\"id\": 2, \"text\": \"\\u00e9 \xe6\x97\xa5\"}";
  const Texts expected{"a\nb", "\xc3\xa9 \xe6\x97\xa5"};
  add("a.json", json);
  add("a.jsonl", "\xEF\xBB\xBF" + json);
  add("a.json.gz", gzip(json.substr(0, 9)) + gzip(json.substr(9)) + std::string(512, '\0'));
  add("a.jsonl.zst", zstd(json.substr(0, 9)) + zstd(json.substr(9)));
  const std::string txt = "\n \na\r\nb\r\n\r\n\r\n\xc3\xa9 \xe6\x97\xa5";
  add("a.txt", txt);
  add("a.txt.gz", gzip(txt));
  add("a.txt.zst", zstd(txt));
  add("a.json.zst", zstd(json));
  add("a.jsonl.gz", gzip(json));
  for (const char* name : {"a.json", "a.jsonl", "a.json.gz", "a.jsonl.gz", "a.json.zst", "a.jsonl.zst", "a.txt",
                           "a.txt.gz", "a.txt.zst"}) {
    CAPTURE(name);
    CHECK(read({name}) == expected);
  }
  CHECK(warnings.empty());
}

TEST_CASE_FIXTURE(SourceFixture, "documents of a text file") {
  add("a.txt", "one\ntwo\n\n  \nthree\n");
  CHECK(read({"a.txt"}) == Texts{"one\ntwo", "three"});
  options.text_document = TextDocument::line;
  CHECK(read({"a.txt"}) == Texts{"one", "two", "three"});
  options.text_document = TextDocument::file;
  CHECK(read({"a.txt"}) == Texts{"one\ntwo\n\n  \nthree"});
}

TEST_CASE_FIXTURE(SourceFixture, "the languages take turns until all are exhausted") {
  add("c4-en.0.jsonl", "{\"text\":\"e1\"}\n{\"text\":\"e2\"}\n");
  add("c4-en.1.jsonl", "{\"text\":\"e3\"}\n{\"text\":\"e4\"}\n");
  add("c4-ja.0.jsonl", "{\"text\":\"j1\"}\n");
  add("zh/part.0.jsonl", "{\"text\":\"z1\"}\n{\"text\":\"z2\"}\n");
  add("zh/.hidden.jsonl", "{\"text\":\"no\"}\n");
  add("zh/readme.md", "no");
  CHECK(read({""}) == Texts{"e1", "j1", "z1", "e2", "z2", "e3", "e4"});
  CHECK(read({"zh", "c4-*.jsonl", "c4-en.0.jsonl"}) == Texts{"z1", "e1", "j1", "z2", "e2", "e3", "e4"});
  CHECK(read({"c4-{ja,en}.[01].jsonl"}) == Texts{"e1", "j1", "e2", "e3", "e4"});
  options.max_documents = 2;
  CHECK(read({""}) == Texts{"e1", "j1"});
}

TEST_CASE("languages by file names") {
  CHECK(language_of("d/c4-ja.tfrecord-00000-of-01024.json.gz") == "ja");
  CHECK(language_of("d/stories-en-0.jsonl") == "en");
  CHECK(language_of("d/wiki_ko.txt") == "ko");
  CHECK(language_of("en/c4-train.00000-of-01024.json.gz") == "en");
  CHECK(language_of("d/en.txt") == "text");
  CHECK(language_of("d/when-to-go.txt") == "text");
  CHECK(language_of("d/x-en") == "text");
}

TEST_CASE_FIXTURE(SourceFixture, "lines that give no document are skipped and counted") {
  std::string text =
      "{\"text\":\"good\"}\n{\"txt\":1}\n{\"text\":3}\n[1]\n{\"text\":\"a\n{\"text\":\"\xff\"}\n7\n"
      "{\"text\":\"a\",\"text\":\"b\"}\n" +
      std::string(200000, '[') + "\n{\"text\":\"end\"}\n";
  add("a.jsonl", text);
  CHECK(read({"a.jsonl"}) == Texts{"good", "end"});
  REQUIRE(warnings.size() == 8);
  CHECK(warnings[0].ends_with("a.jsonl:2: skipped: no field 'text'"));
  CHECK(warnings[1].ends_with("a.jsonl:3: skipped: the field 'text' is not a string"));
  CHECK(warnings[2].ends_with("a.jsonl:4: skipped: not a JSON object"));
  CHECK(warnings[3].find("a.jsonl:5: skipped: broken JSON at byte") != std::string::npos);
  CHECK(warnings[4].ends_with("a.jsonl:6: skipped: the line is not UTF-8"));
  CHECK(warnings[6].find("a.jsonl:6: 1 of 200") != std::string::npos);
  CHECK(warnings[6].find("bytes of this file are not UTF-8") != std::string::npos);
  CHECK(warnings[7] == "8 lines without a document were skipped");
  options.strict = true;
  CHECK(error({"a.jsonl"}) == "a.jsonl:2: no field 'text'");
}

TEST_CASE_FIXTURE(SourceFixture, "a text column by another name, and none at all") {
  add("a.jsonl", "{\"content\":\"x\"}\n{\"content\":\"y\"}\n");
  CHECK(error({"a.jsonl"}) == "no line contains a document; the first one is a.jsonl:1: no field 'text'");
  options.text_column = "content";
  CHECK(read({"a.jsonl"}) == Texts{"x", "y"});
}

TEST_CASE_FIXTURE(SourceFixture, "empty files are passed over with a warning") {
  add("a.txt", "");
  add("b.jsonl.gz", gzip(""));
  add("c.jsonl", "\n\n");
  add("d.json.gz", "");
  CHECK(read({""}).empty());
  CHECK(warnings.size() == 4);
}

TEST_CASE_FIXTURE(SourceFixture, "files that are missing, of another kind or damaged") {
  CHECK(error({"none.txt"}) == "none.txt: no such file or folder");
  CHECK(error({"*.gz"}) == "*.gz: no file matches");
  std::filesystem::create_directory(folder / "empty");
  CHECK(error({"empty"}) == "empty: no .json, .jsonl or .txt file (or .gz, .zst of these) and no .parquet in it");
  add("a.csv", "x");
  CHECK(error({"a.csv"}).find(".parquet") != std::string::npos);
  CHECK(error({"a.csv"}).starts_with("a.csv: unknown format"));
  CHECK_THROWS_WITH_AS(find_text_files({"-"}), doctest::Contains("input -: standard input is not read as text"), Error);
  const std::string whole = gzip("{\"text\":\"one\"}\n{\"text\":\"two\"}\n");
  add("short.json.gz", whole.substr(0, whole.size() - 5));
  CHECK(error({"short.json.gz"}) == "short.json.gz: the gzip data breaks off at byte " +
                                        std::to_string(whole.size() - 5) +
                                        ": the file was not copied or written to its end");
  std::string flipped = whole;
  flipped[15] = static_cast<char>(flipped[15] ^ 0x55);
  add("flipped.json.gz", flipped);
  CHECK(error({"flipped.json.gz"}).starts_with("flipped.json.gz: damaged gzip data near byte"));
  add("plain.json.gz", "{\"text\":\"one\"}\n");
  CHECK(error({"plain.json.gz"}).starts_with("plain.json.gz: damaged gzip data near byte"));
  add("tail.json.gz", whole + "garbage");
  CHECK(error({"tail.json.gz"}).starts_with("tail.json.gz: damaged gzip data near byte"));
  const std::string frame = zstd("{\"text\":\"one\"}\n");
  add("short.json.zst", frame.substr(0, frame.size() - 3));
  CHECK(error({"short.json.zst"}).find("breaks off") != std::string::npos);
  add("bad.json.zst", "not zstd at all");
  CHECK(error({"bad.json.zst"}).starts_with("bad.json.zst: damaged zstd data"));
}

TEST_CASE_FIXTURE(SourceFixture, "long lines: bounded, and text is not lost") {
  options.max_document_bytes = 1000;
  const std::string bomb(5'000'000, 'x');
  add("bomb.jsonl.gz", gzip("{\"text\":\"a\"}\n{\"text\":\"" + bomb + "\"}\n{\"text\":\"b\"}\n"));
  CHECK(read({"bomb.jsonl.gz"}) == Texts{"a", "b"});
  REQUIRE(warnings.size() == 2);
  CHECK(warnings[0].ends_with(":2: skipped: the line is longer than 1000 bytes"));
  add("long.txt", "a\n\n" + std::string(2500, 'y') + "\nend\n\nb\n");
  std::string joined;
  for (const std::string& text : read({"long.txt"})) {
    CHECK(text.size() <= 1000);
    joined += text + "|";
  }
  CHECK(joined ==
        "a|" + std::string(1000, 'y') + "|" + std::string(1000, 'y') + "|" + std::string(500, 'y') + "\nend|b|");
}

TEST_CASE_FIXTURE(SourceFixture, "long lines are cut between characters, and paragraphs at lines") {
  options.max_document_bytes = 1000;
  std::string text;
  while (text.size() < 3500) text += "\xe6\x97\xa5";
  add("a.txt", text + "\r\n");
  std::string joined;
  for (const std::string& piece : read({"a.txt"})) {
    CHECK(piece.size() <= 1000);
    CHECK(piece.size() % 3 == 0);
    joined += piece;
  }
  CHECK(joined == text);
  std::string lines;
  for (int i = 0; i < 50; ++i) lines += std::string(99, static_cast<char>('a' + i % 26)) + "\n";
  add("b.txt", lines);
  joined.clear();
  for (const std::string& piece : read({"b.txt"})) {
    CHECK(piece.size() <= 1000);
    joined += piece + "\n";
  }
  CHECK(joined == lines);
}

TEST_CASE_FIXTURE(SourceFixture, "a reader that runs ahead: its error comes where it stands, and it can be left") {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "{\"text\":\"" + std::to_string(i) + "\"}\n";
  const std::string whole = gzip(text);
  add("a.json.gz", whole.substr(0, whole.size() - 5));
  add("b-ja.jsonl", text);
  options.inputs = {folder.path().string()};
  options.read_ahead_bytes = 10000;
  {
    DocumentSource source(options);
    Document document;
    int documents = 0;
    const auto read_all = [&] {
      while (source.next(document)) ++documents;
    };
    CHECK_THROWS_WITH_AS(read_all(), doctest::Contains("breaks off"), Error);
    CHECK(documents > 30000);
  }
  DocumentSource left(options);
  Document document;
  for (int i = 0; i < 10; ++i) CHECK(left.next(document));
}
