// A line of JSON from which the field "text" is read. The fast scanner must agree with nlohmann's parser, and a line
// that it refuses must be read by the parser.
#include "fuzz.hpp"
#include "moderngpt2/data/json_field.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  seeds.add(R"({"id": -12.5e+3, "text": "a \"quoted\" \u00e9 \ud83d\ude00\n", "meta": {"a": [1, {}, []], "b": null}})");
  seeds.add("{\"text\":\"caf\xC3\xA9 and long text without an escape, of more than eight bytes\",\"x\":[true,false]}");
  seeds.add(R"({"text":"","text":"twice"})");
  seeds.words({"\"text\"", "\\u0000", "\\ud83d", "\\ude00", "null", "true", "1e5", "[[", "]]", "{\"a\":", "\\/"});
}

void fuzz::run(std::string_view input) {
  std::string scanned, parsed, read;
  const bool is_scanned = detail::JsonFieldScanner(input, "text", scanned).scan();
  detail::JsonFieldHandler handler("text", parsed);
  const bool is_valid = nlohmann::json::sax_parse(input.begin(), input.end(), &handler);
  if (is_scanned && (!is_valid || !handler.found())) fail("the scanner accepts what the parser refuses");
  if (is_scanned && scanned != parsed) fail("the scanner reads another text than the parser");
  const std::string problem = read_json_field(input, "text", read);
  check_message(problem);
  // Stricter than nlohmann's parser, never less strict.
  if (problem.empty() && (!is_valid || !handler.found() || read != parsed)) fail("another text than the parser's");
  if (!problem.empty() && is_scanned) fail("a line that the scanner accepts is refused");
}
