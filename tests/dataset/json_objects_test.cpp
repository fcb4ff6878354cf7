#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "dataset/text_samples.hpp"
#include "io/expect_error.hpp"
#include "moderngpt2/data/row_reader.hpp"
#include "moderngpt2/data/source.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

using Texts = std::vector<std::string>;

struct JsonFixture {
  TemporaryFolder folder;
  SourceOptions options;
  std::vector<std::string> warnings;
  std::string name = "a.json";

  JsonFixture() {
    options.warn = [this](const std::string& line) { warnings.push_back(line); };
  }

  /// Texts of a file with these bytes.
  Texts read(const std::string& bytes) {
    write_bytes(folder / name, bytes);
    options.inputs = {(folder / name).string()};
    warnings.clear();
    DocumentSource source(options);
    Texts texts;
    for (Document document; source.next(document);) texts.push_back(document.text);
    return texts;
  }
  /// Rows of that file for a task.
  Texts rows() {
    Texts rows;
    for_each_row(options.inputs, nullptr, [&](const DataRow& row, const RowReader&) {
      rows.push_back(std::to_string(row.place.line) + row.fields.dump());
    });
    return rows;
  }
};

}  // namespace

// Expected: the json loader of the library datasets 5.2.
TEST_CASE_FIXTURE(JsonFixture, "lists and objects over many lines give their rows") {
  const Texts expected{"a", "b"};
  for (const char* json : {
           "[\n  {\"text\":\"a\"},\n  {\"text\":\"b\"}\n]\n",
           "[{\"text\":\"a\"},{\"text\":\"b\"}]",
           "\xEF\xBB\xBF [ {\"text\":\"a\"}\r\n,{\"text\":\"b\"\r\n} ]\r\n",
           "[\n {\n  \"text\": \"a\"\n },\n {\n  \"x\": [\n1,\n{}],\n\"text\": \"b\"\n }\n]",
           "{\n \"text\": \"a\"\n}\n{\n \"text\": \"b\", \"n\": {\"text\": \"no\"}\n}\n",
           "{\"text\":\"a\"}{\"text\":\"b\"}",
           "{\"text\":\"a\"} {\"text\":\"b\"}\n\n",
           "[{\"text\":\"a\"}]\n[{\"text\":\"b\"}]\n",
           "{\"text\":\"a\",\"s\":NaN,\"t\":[-Infinity,Inf,-NaN]}\n{\"text\":\"b\",\"s\":1e400}\n",
       }) {
    CAPTURE(json);
    CHECK(read(json) == expected);
    CHECK(warnings.empty());
    options.strict = true;
    CHECK(read(json) == expected);
    options.strict = false;
  }
  CHECK(read("[]").empty());
}

TEST_CASE_FIXTURE(JsonFixture, "rows of tasks are read as text is; NaN is null") {
  read("[\n {\"text\":\"a NaN \\\" Infinity\", \"s\": NaN},\n\n {\"text\":\"b\",\n \"s\": [-Infinity,1]}]");
  CHECK(rows() == Texts{R"(2{"text":"a NaN \" Infinity","s":null})", R"(4{"text":"b","s":[null,1]})"});
  write_bytes(folder / name, "[\n{\"text\":\"a\"},\n7]");
  CHECK_ERROR(rows(), "a.json:3: not a JSON object");
  write_bytes(folder / name, "[\n{\"text\":\"a\"}\n{\"text\":\"b\"}]");
  CHECK_ERROR(rows(), "a.json:3: byte 1 of the line: a comma or ] is missing");
}

TEST_CASE_FIXTURE(JsonFixture, "long lists are streamed, compressed or not") {
  options.max_document_bytes = 1000;
  std::string list = "[";
  Texts expected;
  for (int i = 0; i < 300; ++i) {
    expected.push_back("\xe6\x97\xa5\n" + std::string(std::size_t(i % 70), 'x') + std::to_string(i));
    list += i == 0 ? "" : i % 3 ? ",\n" : ",";
    list += "{\"n\": {\"a\": [" + std::to_string(i) + ", -1.5e3, true, null]}, \"text\": \"\\u65e5\\n" +
            expected.back().substr(4) + "\"}";
  }
  list += "]";
  for (const char* file : {"a.json", "a.json.gz", "a.JSON.zst"}) {
    name = file;
    CHECK(read(name == "a.json" ? list : name == "a.json.gz" ? gzip(list) : zstd(list)) == expected);
  }
  CHECK(read(zstd("[{\"text\":\"a\"},{\"text\":\"" + std::string(5000, 'y') + "\\\"}\"},{\"text\":\"b\"}]")) ==
        Texts{"a", "b"});
  REQUIRE(warnings.size() == 2);
  CHECK(warnings[0].ends_with(":1: skipped: the object is longer than 1000 bytes"));
}

TEST_CASE_FIXTURE(JsonFixture, "broken lists and objects over several lines are errors, never rows lost") {
  const auto refused = [&](const std::string& json, const std::string& part) {
    CAPTURE(json);
    CHECK_ERROR(read(json), "a.json:", part);
  };
  refused("[{\"text\":\"a\"}\n{\"text\":\"b\"}]", "a.json:2: byte 1 of the line: a comma or ] is missing");
  refused("[{\"text\":\"a\"},\n", "a.json:2: the file ends inside the list that begins in line 1");
  refused("[{\"text\":\"a\"},\n{\"text\":\"b", "broken JSON in the list that begins in line 1");
  refused("[{\"text\":\"a\"},]", "byte 15");
  refused("{\"text\":\"a\"},\n{\"text\":\"b\"}\n", "a.json:1: a comma after an object");
  refused("{\n\"text\":\"a\"\n\"n\":1}\n{\"text\":\"b\"}\n", "a.json:3: byte 1 of the line: broken JSON in the object");
  refused("{\n\"text\":\"a\",\n", "broken JSON in the object that begins in line 1");
  refused("{\"version\": 1, \"data\": [{\"text\":\"a\"}]}\n", "jq -c '.data[]'");
  refused("{\"a b\": [\n{\"text\":\"a\"}]}\n", R"(jq -c '.["a b"][]')");
  refused("{\"id\":1}\n", "no line contains a document; the first one is");
  options.max_document_bytes = 1000;
  refused("{\"data\": [{\"text\":\"" + std::string(3000, 'x') + "\"}]}\n", "jq -c '.data[]'");
  write_bytes(folder / "b.json", "{\"id\":1}\n");
  read("{\"text\":\"a\"}\n");
  options.inputs.push_back((folder / "b.json").string());
  DocumentSource source(options);
  Document document;
  CHECK(source.next(document));
  CHECK_ERROR(source.next(document), "b.json:1: no field 'text'");
}

TEST_CASE_FIXTURE(JsonFixture, "a broken line does not take the next one with it") {
  const Texts expected{"b", "c"};
  for (const std::string line : {"{\"text\":\"a", "{\"text\":\"a\"", "{\"text\":\"a\",", "{\"text\":", "{", "x",
                                 "{\"text\":\"a\"} x", "{\"text\":\"a\"]", "{\"text\":\"a\",\"n\":01}"}) {
    CAPTURE(line);
    CHECK(read(line + "\n{\"text\":\"b\"}\n{\"text\":\"c\"}\n") == expected);
    CHECK(read("{\"text\":\"b\"}\n" + line + "\n{\"text\":\"c\"}\n") == expected);
    CHECK(warnings.size() == 2);
    CHECK(read("{\"text\":\"b\"}\n{\"text\":\"c\"}\n" + line) == expected);
    CHECK(warnings.size() == 2);
  }
}

TEST_CASE_FIXTURE(JsonFixture, "text behind a zero byte, and a byte-order mark within a file, are not JSON") {
  using namespace std::string_literals;
  const std::string zero = "{\"text\":\"kept\"}\0 rubbish that is no JSON\n"s, mark = "\xEF\xBB\xBF{\"text\":\"b\"}\n";
  const std::string long_text(1000, 'a');  // one zero byte is less than 1%
  CHECK(read("{\"text\":\"" + long_text + "\"}\n" + zero + mark + "{\"text\":\"c\"}\n") == Texts{long_text, "c"});
  CHECK(warnings.size() >= 2);
  options.strict = true;
  CHECK_ERROR(read("{\"text\":\"a\"}\n" + zero), "a.json:2");
  CHECK_ERROR(read("{\"text\":\"a\"}\n" + mark), "a.json:2");
}

TEST_CASE_FIXTURE(JsonFixture, "an escaped surrogate without its pair") {
  const std::string plain = "{\"text\":\"" + std::string(1000, 'x') + "\"}\n",
                    lone = "{\"text\":\"lone \\ud800 here\"}\n";
  const Texts texts = read(plain + lone);
  REQUIRE(texts.size() == 2);
  CHECK(texts[1] == "lone \xEF\xBF\xBD here");
  REQUIRE(warnings.size() == 1);
  CHECK(contains(warnings[0], "a.json:2: 1 escaped surrogates"));
  CHECK_ERROR(read(lone), "a.json:1: 1 escaped surrogates", "Write them as complete pairs");
  options.strict = true;
  CHECK_ERROR(read(plain + lone), "a.json:2", "escaped surrogates");
}
