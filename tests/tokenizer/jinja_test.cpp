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

namespace {

/// Rendered text, or the message of the Error.
std::string rendered(const std::string& source, const Json& variables = Json::object()) {
  try {
    return render_jinja(source, variables);
  } catch (const Error& error) {
    return std::string("Error: ") + error.what();
  }
}

}  // namespace

// Expected texts are those of Jinja 3.1.6.
TEST_CASE("statements of templates") {
  const Json v{{"x", {1, 2, 3}}, {"d", {{"a", 1}, {"b", "two"}}}};
  CHECK(rendered("{% for i in x if i != 2 %}{{ loop.index }}/{{ loop.length }}:{{ i }} {% endfor %}", v) ==
        "1/2:1 2/2:3 ");
  CHECK(rendered("{% for i in x %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}", v) == "13");
  CHECK(rendered("{% for i in x %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", v) == "1");
  CHECK(rendered("{% for k, i in d.items() %}{{ k }}={{ i }};{% endfor %}", v) == "a=1;b=two;");
  CHECK(rendered("{% for i in [] %}x{% else %}none{% endfor %}") == "none");
  CHECK(rendered("{% for i in x %}{{ loop.previtem }}{{ loop.nextitem is defined }}{{ loop.revindex0 }} {% endfor %}",
                 v) == "True2 1True1 2False0 ");
  // Variables of a loop are its own; a namespace is not.
  CHECK(rendered("{% set a = 1 %}{% for i in x %}{% set a = i %}{% endfor %}{{ a }}", v) == "1");
  CHECK(rendered("{% set n = namespace(a=1) %}{% for i in x %}{% set n.a = n.a + i %}{% endfor %}{{ n.a }}", v) == "7");
  CHECK(rendered("{% if false %}{% set a = 1 %}{% endif %}{{ a is defined }}") == "False");
  CHECK(rendered("{% macro f(a, b='B') %}<{{ a }}{{ b }}>{% endmacro %}{{ f(1) }}{{ f(1, b=2) }}{{ f() }}") ==
        "<1B><12><B>");
  CHECK(rendered("{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}") == "3210");
  CHECK(rendered("{% macro f() %}[{{ caller('x') }}]{% endmacro %}{% set y = 2 %}{% call(a) f() %}{{ a }}{{ y }}{% "
                 "endcall %}") == "[x2]");
  CHECK(rendered("{% set a %}b{{ 1 }}{% endset %}{{ a | upper }}") == "B1");
  CHECK(rendered("{% set a | upper | replace('B', 'c') %}b{% endset %}{{ a }}") == "c");
  CHECK(rendered("{% filter upper %}a{{ 'b' }}{% endfilter %}{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}") ==
        "AB3");
  CHECK(rendered("{% generation %}a{% set b = 1 %}{% endgeneration %}{{ b }}") == "a");
  CHECK(rendered("{% set a, b = 1, 2 %}{{ b }}{{ a }}") == "21");
  CHECK(rendered("a\n  {%- raw -%} {{ x }} {% endraw %}\nb") == "a{{ x }} b");
  CHECK(rendered("a\n  {# comment #}\n  b {%+ if true %} c{% endif %}\n\n\n") == "a\n  b  c\n");
  CHECK(rendered("a  {{- 1 -}}  b{{ '}}' }}{{ {'a': {'b': 1}}['a']['b'] }}") == "a1b}}1");
}

TEST_CASE("expressions of templates") {
  const auto value = [](const std::string& expression, const Json& v = Json::object()) {
    return rendered("{{ " + expression + " }}", v);
  };
  CHECK(value("1 + 2 * 3 - 7 // 2") == "4");
  CHECK(value("-7 // 2 ~ '|' ~ -7 % 3 ~ '|' ~ 7 / 2") == "-4|2|3.5");
  CHECK(value("'a' ~ 1 + 2") == "Error: a text and an int have no operator +");
  CHECK(value("1 < 2 < 3 and not 2 in [1]") == "True");
  CHECK(value("'b' if false") == "");
  CHECK(value("a.b is defined") == "Error: an undefined value has no member \"b\"");
  CHECK(value("a is defined or a == none or a is none") == "False");
  CHECK(value("none") == "None");
  CHECK(value("[1, 'a', none, true, 1.5, {'k': (1,)}]") == "[1, 'a', None, True, 1.5, {'k': (1,)}]");
  CHECK(value("'日本語'[1:] ~ '日本語'[::-1] ~ '日本語'|length ~ '日本語'[-1]") == "本語語本日3語");
  CHECK(value("[1, 2, 3, 4][1:-1] ~ [1, 2, 3][::2] ~ [1, 2][5:]") == "[2, 3][1, 3][]");
  CHECK(value("' a b '.strip().split() ~ 'a,b,c'.split(',', 1) ~ 'a,b,c'.rsplit(',', 1)") ==
        "['a', 'b']['a', 'b,c']['a,b', 'c']");
  CHECK(value("'xxaxx'.strip('x') ~ 'ab'.replace('', '-') ~ 'aB c'.title() ~ 'abc'.find('c')") == "a-a-b-Ab C2");
  CHECK(value("'ab'.startswith(('x', 'a')) and 'ab'.endswith('b')") == "True");
  CHECK(value("'{1} {0} {n}{{'.format('a', 'b', n=3)") == "b a 3{");
  CHECK(value("d | tojson", {{"d", {{"é", {1, nullptr}}, {"a", "\"\n<"}}}}) == R"({"é": [1, null], "a": "\"\n<"})");
  CHECK(value("{'a': [1]} | tojson(indent=2)") == "{\n  \"a\": [\n    1\n  ]\n}");
  CHECK(value("[{'n': 1}, {'n': 2}] | selectattr('n', 'gt', 1) | map(attribute='n') | join(',')") == "2");
  CHECK(value("['b', 'A'] | sort | join ~ ([3, 1] | max) ~ ('a' | default('b')) ~ (u | default('c'))") == "Ab3ac");
  CHECK(value("{1: 2}[1] ~ {'a': 1}.get('b', 3) ~ ({'b': 1, 'a': 2} | dictsort | first)") == "23('a', 2)");
  CHECK(value("'\\u00e9\\x41\\n\\d'") == "éA\n\\d");
  CHECK(value("range(3) | list ~ '12' | int + 1") == "Error: a text and an int have no operator +");
  CHECK(value("namespace(a=1).a ~ dict(a=1).a ~ (5 is divisibleby 5) ~ (3 is odd)") == "11TrueTrue");
  CHECK(value("strftime_now('%Y')").size() == 4);
}

TEST_CASE("what is not supported in a template is named") {
  const auto error = [](const std::string& source) -> std::string {
    try {
      return render_jinja(source, Json{{"messages", Json::array({{{"role", "user"}, {"content", "x"}}})}});
    } catch (const Error& refused) {
      return std::string(refused.what());
    }
  };
  CHECK(error("{% include 'x' %}").find("the statement include") != std::string::npos);
  CHECK(error("{{ 2 ** 3 }}").find("the operator **") != std::string::npos);
  CHECK(error("{{ messages | xmlattr }}").find("xmlattr") != std::string::npos);
  CHECK(error("{{ messages.append(1) }}").find("the function append") != std::string::npos);
  CHECK(error("{{ 'a' is escaped }}").find("escaped") != std::string::npos);
  CHECK(error("{{ raise_exception('no tools') }}").find("no tools") != std::string::npos);
  for (const char* broken : {"{{ ",
                             "{% if x %}",
                             "{% for m in messages %}",
                             "{% endif %}",
                             "{% else %}",
                             "{{ 1 +",
                             "{{ }}",
                             "{{ (1 }}",
                             "{{ [1 }}",
                             "{% for m of messages %}{% endfor %}",
                             "{% for m in 12 %}{% endfor %}",
                             "{{ 1 % 0 }}",
                             "{{ 'a' - 1 }}",
                             "{{ messages.x.y }}",
                             "{{ '{} {0}'.format(1) }}",
                             "{% set a %}",
                             "{{ 9223372036854775807 + 1 }}",
                             "{{ raise_exception }}",
                             "{% set n = namespace() %}{% set n.n = [n] %}",
                             "{{ '%' * 99999999 }}",
                             "{{ range(99999999) }}"}) {
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
  CHECK_THROWS_AS(render_jinja("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", Json::object()), Error);
  std::string long_sum = "{{ 1";
  for (int i = 0; i < 100'000; ++i) long_sum += "+1";
  CHECK_THROWS_AS(render_jinja(long_sum + " }}", Json::object()), Error);
  CHECK_THROWS_AS(render_jinja("{{ strftime_now('" + std::string(1000, 'x') + "') }}", Json::object()), Error);
}
