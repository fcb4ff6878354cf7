// Strict JSON: accepted text must be equal after writing and parsing.
#include "fuzz.hpp"
#include "moderngpt2/io/json.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  for (const std::string& text : seeds.data("golden", "config.json")) seeds.add(text);
  seeds.add(R"({"a": [1, -2.5e-3, true, null, "\u00e9\ud83d\ude00\n"], "": {}})");
  seeds.words({"null", "true", "false", "\\u", "\\ud83d\\ude00", "1e308", "-0", "[[[[", "{\"\":"});
}

void fuzz::run(std::string_view input) {
  const Json json = parse_json(input, "fuzz.json");
  if (parse_json(json_text(json, "fuzz.json"), "fuzz.json") != json) fail("another value after writing and parsing");
}
