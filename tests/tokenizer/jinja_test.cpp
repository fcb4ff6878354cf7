#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/jinja.hpp"

using namespace moderngpt2;

// Nine templates, two conversations each, with and without generation prompt, rendered by Jinja with the settings of
// Transformers 5.24 (trim_blocks, lstrip_blocks).
TEST_CASE("chat templates are rendered as by Transformers") {
  const Json cases = read_json_file(std::filesystem::path(MODERNGPT2_TEST_DATA) / "tokenizer" / "chat_templates.json");
  CHECK(cases.size() == 36);
  for (const Json& c : cases) {
    CAPTURE(c.dump());
    const Json variables{{"messages", c["messages"]},
                         {"add_generation_prompt", c["add_generation_prompt"]},
                         {"bos_token", "<s>"},
                         {"eos_token", "</s>"}};
    CHECK(render_jinja(c["template"].get<std::string>(), variables) == c["text"].get<std::string>());
  }
}

TEST_CASE("what is not supported in a template is named") {
  const auto error = [](const std::string& source) {
    try {
      return render_jinja(source, Json{{"messages", Json::array({{{"role", "user"}, {"content", "x"}}})}});
    } catch (const Error& refused) {
      return std::string(refused.what());
    }
  };
  CHECK(error("{% macro f() %}{% endmacro %}").find("macro") != std::string::npos);
  CHECK(error("{{ 'text'[1:] }}").find("slice") != std::string::npos);
  CHECK(error("{{ messages | tojson }}").find("tojson") != std::string::npos);
  CHECK(error("{{ namespace(a=1) }}").find("namespace") != std::string::npos);
  CHECK(error("{{ raise_exception('no tools') }}").find("no tools") != std::string::npos);
  for (const char* broken :
       {"{{ ", "{% if x %}", "{% for m in messages %}", "{% endif %}", "{% else %}", "{{ 1 +", "{{ }}", "{{ (1 }}",
        "{{ [1 }}", "{% for m of messages %}{% endfor %}", "{% for m in 'abc' %}{% endfor %}", "{{ 1 % 0 }}",
        "{{ messages }}", "{{ 'a' - 1 }}", "{{ messages.x }}", "{% set a %}"}) {
    CAPTURE(broken);
    CHECK_THROWS_AS(render_jinja(broken, Json{{"messages", Json::array({"m"})}}), Error);
  }
  std::string deep(100'000, '(');
  CHECK_THROWS_AS(render_jinja("{{ " + deep + " }}", Json::object()), Error);
  std::string nested;
  for (int i = 0; i < 1000; ++i) nested += "{% if true %}";
  CHECK_THROWS_AS(render_jinja(nested, Json::object()), Error);
  std::string slow = "x";
  for (int i = 0; i < 8; ++i) slow = "{% for a in [1,2,3,4,5,6,7,8,9,0] %}" + slow + "{% endfor %}";
  CHECK_THROWS_AS(render_jinja(slow, Json::object()), Error);
  std::string doubled = "{% set a = 'a' %}";
  for (int i = 0; i < 60; ++i) doubled += "{% set a = a ~ a %}";
  CHECK_THROWS_AS(render_jinja(doubled, Json::object()), Error);
  std::string lists = "{% set a = ['a'] %}";
  for (int i = 0; i < 60; ++i) lists += "{% set a = [a, a] %}";
  CHECK_THROWS_AS(render_jinja(lists, Json::object()), Error);
}
