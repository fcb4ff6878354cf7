#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "dataset/text_samples.hpp"
#include "io/expect_error.hpp"
#include "moderngpt2/data/row_reader.hpp"
#include "moderngpt2/data/source.hpp"
#include "moderngpt2/data/text_encoding.hpp"
#include "moderngpt2/io/file.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

const fs::path encodings = fs::path(MODERNGPT2_TEST_DATA) / "encodings";

/// Bytes of UTF-8 text as UTF-16.
std::string utf16(std::string_view text, bool is_little) {
  std::string bytes;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = detail::utf8_length(text[at]);
    const char32_t code = detail::utf8_decode(text, at, length);
    const char high = static_cast<char>(code >> 8), low = static_cast<char>(code & 0xFF);
    bytes += is_little ? low : high;
    bytes += is_little ? high : low;
    at += length;
  }
  return bytes;
}

/// Reads all documents of a file; returns the warnings.
struct EncodedSource {
  test::TemporaryFolder folder;
  SourceOptions options;
  std::vector<std::string> warnings;
  std::int64_t documents = 0;

  fs::path add(const std::string& name, std::string_view bytes) {
    fs::create_directories((folder / name).parent_path());
    test::write_bytes(folder / name, bytes);
    return folder / name;
  }
  void read(const fs::path& file) {
    warnings.clear();
    options.inputs = {file.string()};
    options.warn = [this](const std::string& line) { warnings.push_back(line); };
    DocumentSource source(options);
    for (Document document; source.next(document);) ++documents;
  }
};

}  // namespace

TEST_CASE("bytes that are not UTF-8, and zero bytes, are counted") {
  CHECK(find_invalid_utf8("").bytes == 0);
  CHECK(find_invalid_utf8("plain \xe6\x97\xa5 \xf0\x9f\x98\x80").bytes == 0);
  const InvalidUtf8 found = find_invalid_utf8("ab\xff\xe6\x97 c\xc0\x80");
  CHECK(found.bytes == 5);
  CHECK(found.first == 2);
  const InvalidUtf8 zero = find_invalid_utf8(std::string_view("a\0b\0\xff", 5));
  CHECK(zero.bytes == 3);
  CHECK(zero.first == 1);
}

TEST_CASE("the encoding of a text is guessed by its bytes") {
  using namespace std::string_view_literals;
  CHECK(guess_encoding(read_file(encodings / "sjis.txt")) == "SHIFT-JIS");
  const std::string with_mark = read_file(encodings / "utf16.txt");
  CHECK(guess_encoding(with_mark) == "UTF-16");
  CHECK(guess_encoding(std::string_view(with_mark).substr(2)) == "UTF-16LE");
  const std::string english = "Plain English text.\n", french = "Le café était fermé.\n",
                    chinese = "今天天气很好，我们去公园散步。\n";
  for (const std::string& text : {english, french, chinese}) {
    CHECK(guess_encoding(utf16(text, true)) == "UTF-16LE");
    CHECK(guess_encoding(utf16(text, false)) == "UTF-16BE");
  }
  // "日本語のテキストです。", "한국어 텍스트입니다.", "我們去公園散步。", "我们去公园散步。"
  CHECK(guess_encoding("\xc6\xfc\xcb\xdc\xb8\xec\xa4\xce\xa5\xc6\xa5\xad\xa5\xb9\xa5\xc8\xa4\xc7\xa4\xb9\xa1\xa3") ==
        "EUC-JP");
  CHECK(guess_encoding("\xc7\xd1\xb1\xb9\xbe\xee \xc5\xd8\xbd\xba\xc6\xae\xc0\xd4\xb4\xcf\xb4\xd9.") == "EUC-KR");
  CHECK(guess_encoding("\xa7\xda\xad\xcc\xa5h\xa4\xbd\xb6\xe9\xb4\xb2\xa8\x42\xa1\x43") == "BIG5");
  CHECK(guess_encoding("\xce\xd2\xc3\xc7\xc8\xa5\xb9\xab\xd4\xb0\xc9\xa2\xb2\xbd\xa1\xa3") == "GB18030");
  CHECK(guess_encoding("Le caf\xe9 \xe9tait ferm\xe9.") == "WINDOWS-1252");
  CHECK(guess_encoding("T\0\0\0e\0\0\0x\0\0\0t\0\0\0"sv) == "UTF-32LE");
  CHECK(guess_encoding("\0\0\0T\0\0\0e\0\0\0x\0\0\0t"sv) == "UTF-32BE");
  // Few zero bytes in UTF-8 are damage; the second text is "Привет мир" in UTF-16.
  CHECK(guess_encoding("{\"text\": \"kept\"}\0 rubbish\n"sv) == "");
  CHECK(guess_encoding("\x1f\4\x40\4\x38\4\x32\4\x35\4\x42\4 \0\x3c\4\x38\4\x40\4"sv) == "UTF-16LE");
  CHECK(guess_encoding("\xff\xfe\xff\xff\xff\xff") == "UTF-16");
  CHECK(guess_encoding("\xff\xff\xff\xff\x80\x80") == "");
  CHECK(guess_encoding("") == "");
}

TEST_CASE_FIXTURE(EncodedSource, "text in other encodings is refused with the file, the line and what to do") {
  const fs::path sjis = encodings / "sjis.txt";
  CHECK_ERROR(read(sjis), sjis.string() + ":1: the file is not UTF-8", "573 of 969 bytes", "(59.1%)",
              "at most 1% are accepted (max_invalid_utf8)",
              "It looks like SHIFT-JIS: convert it with iconv -f SHIFT-JIS -t UTF-8 " +
                  (sjis.string().find(' ') == std::string::npos ? sjis.string() : "'" + sjis.string() + "'"));
  CHECK_ERROR(read(encodings / "utf16.txt"), "utf16.txt:1: ", "It looks like UTF-16: ");
  const std::string whole = read_file(encodings / "utf16.txt"), japanese = read_file(sjis);
  CHECK_ERROR(read(add("no_mark.txt", whole.substr(2))), "It looks like UTF-16LE");
  CHECK_ERROR(read(add("ascii.txt", utf16("Plain English text.\nMore of it.\n", false))),
              "ascii.txt:1: ", "It looks like UTF-16BE");
  CHECK_ERROR(read(add("zero.txt", std::string("Plain\0 text.\n", 13))), "zero.txt:1: ", "It contains zero bytes");
  // The first line is ASCII; compressed files name the program that unpacks them.
  CHECK_ERROR(read(add("late.txt.gz", test::gzip("Title\nof two lines\n" + japanese))),
              "late.txt.gz:3: ", "convert it with gzip -dc ", "late.txt.gz | iconv -f SHIFT-JIS -t UTF-8");
  CHECK_ERROR(read(add("late.txt.zst", test::zstd("Title\n\n" + japanese))), "late.txt.zst:3: ", "zstd -dc ");
  for (const TextDocument document : {TextDocument::line, TextDocument::paragraph, TextDocument::file}) {
    options.text_document = document;
    CHECK_ERROR(read(add("third.txt", "one\n\n" + japanese)), "third.txt:3: ");
  }
  // JSON lines: those of ASCII are read, the others skipped, and the file is refused.
  CHECK_ERROR(read(add("rows.jsonl", "{\"text\":\"ascii\"}\n{\"text\":\"" + japanese.substr(0, japanese.find('\n')) +
                                         "\"}\n{\"text\":\"ascii\"}\n")),
              "rows.jsonl:2: the file is not UTF-8", "SHIFT-JIS");
  // A limit on the number of documents does not hide it, and other files of the run do not dilute it.
  options.text_document = TextDocument::line;
  options.max_documents = 2;
  CHECK_ERROR(read(sjis), "SHIFT-JIS");
  options.max_documents = 0;
  add("many/a.txt", std::string(100000, 'a') + "\n");
  add("many/b.txt", japanese);
  CHECK_ERROR(read(folder / "many"), "b.txt:1: ");
}

TEST_CASE_FIXTURE(EncodedSource, "a few bytes that are not UTF-8 are a warning, or an error with strict") {
  const std::string text = std::string(500, 'a') + "\n" + std::string(499, 'b') + "\xff\n";
  const fs::path file = add("a.txt", text);
  read(file);
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0].starts_with(file.string() + ":2: 1 of 1001 bytes of this file are not UTF-8"));
  options.max_invalid_utf8 = 0.0005;
  CHECK_ERROR(read(file), "1 of 1001 bytes", "at most 0.05% are accepted (max_invalid_utf8)");
  options.max_invalid_utf8 = 1;
  options.strict = true;
  CHECK_ERROR(read(file), "at most 0% are accepted (strict)");
  options.strict = false;
  read(encodings / "sjis.txt");  // everything is accepted, and still said
  REQUIRE(warnings.size() == 1);
  CHECK(test::contains(warnings[0], "573 of 969 bytes"));
}

TEST_CASE_FIXTURE(EncodedSource, "a large file is refused before its end") {
  const std::string line = std::string(1000, 'a') + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\n";
  std::string text;
  for (int i = 0; i < 6000; ++i) text += line;
  options.text_document = TextDocument::line;
  CHECK_ERROR(read(add("large.txt", text)), "large.txt:1: ");
  CHECK(documents < 4200);  // 4 MiB of 6 MB
}

TEST_CASE("rows of examples that are not UTF-8 are refused") {
  test::TemporaryFolder folder;
  const std::string line = read_file(encodings / "sjis.txt");
  const auto read = [&](const std::string& text) {
    write_file(folder / "rows.jsonl", text);
    for_each_row({(folder / "rows.jsonl").string()}, nullptr, [](const DataRow&, const RowReader&) {});
  };
  CHECK_ERROR(read("{\"text\": \"a\"}\n{\"text\": \"" + line.substr(0, line.find('\n')) + "\"}\n"),
              "rows.jsonl:2: the line is not UTF-8", "SHIFT-JIS");
  CHECK_ERROR(read(utf16("{\"text\": \"a\"}\n", true)), "rows.jsonl:1: the line is not UTF-8", "UTF-16LE");
  CHECK_ERROR(text_of(Json("\x82\xc7\x82\xb1\x82\xc5"), "text", {}), "text is not UTF-8 from byte 1 on",
              "it looks like SHIFT-JIS");
  CHECK(text_of(Json("\xe6\x97\xa5"), "text", {}) == "\xe6\x97\xa5");
}
