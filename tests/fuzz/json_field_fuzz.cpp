// A line of JSON from which the field "text" is read. The scanner must agree with nlohmann's parser.
#include "fuzz.hpp"
#include "moderngpt2/data/json_field.hpp"
#include "moderngpt2/io/json.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  seeds.add(R"({"id": -12.5e+3, "text": "a \"quoted\" \u00e9 \ud83d\ude00\n", "meta": {"a": [1, {}, []], "b": null}})");
  seeds.add("{\"text\":\"caf\xC3\xA9 and long text without an escape, of more than eight bytes\",\"x\":[true,false]}");
  seeds.add(R"({"text":"","text":"twice"})");
  seeds.words({"\"text\"", "\\u0000", "\\ud83d", "\\ude00", "null", "true", "1e5", "[[", "]]", "{\"a\":", "\\/"});
}

void fuzz::run(std::string_view input) {
  std::string read;
  const std::string problem = read_json_field(input, "text", read);
  check_message(problem);
  const nlohmann::json json = nlohmann::json::parse(input, nullptr, false);
  if (json.is_discarded()) return;  // the scanner also accepts NaN and surrogates without their pair
  const bool has_text = json.is_object() && json.contains("text") && json["text"].is_string();
  if (problem.empty() && (!has_text || json["text"].get_ref<const std::string&>() != read))
    fail("another text than the parser's");
  if (!problem.empty() && has_text && problem.find("twice") == problem.npos) fail("refused: " + problem);
}
