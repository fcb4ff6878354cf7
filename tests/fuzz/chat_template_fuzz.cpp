// A chat template, rendered for conversations of several lengths.
#include <cstddef>
#include <string>
#include <string_view>

#include "fuzz.hpp"
#include "moderngpt2/cli/chat_layout.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/chat_template.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  for (const char* jinja : {chatml_jinja_template, gemma_jinja_template, llama2_jinja_template}) seeds.add(jinja);
  seeds.add(chat_jinja_template());
  seeds.add(
      "{%- set ns = namespace(n=0, last='') %}{% macro show(m, open='<') -%}{{ open }}{{ m.role }}>{{ caller() if "
      "caller }}"
      "{%- endmacro %}\n{% for m in messages if m.content is string %}{% set ns.n = ns.n + loop.index0 %}"
      "{{- show(m, open='[') }}{{ m['content'].split('</think>')[-1].lstrip('\\n') | trim }}{# note #}\n"
      "{% if not loop.last %}{% continue %}{% endif %}{% else %}{% break %}{% endfor %}{{ ns.n % 2 == 0 and tools is "
      "none }}");
  seeds.add(
      "{% call(x) f(1) %}{{ x }}{% endcall %}{% set a %}{% raw %}{{ }}{% endraw %}{% endset %}{% filter upper %}a{% "
      "endfilter %}"
      "{% with a = [1, 2][::-1], d = {'k': (1,)} %}{{ d | tojson(indent=2) ~ d.items() | list | first }}{% endwith %}"
      "{% generation %}{{ '{} {x}'.format(1, x=2) }}{% endgeneration %}{{ messages | selectattr('role', 'eq', 'user') "
      "| map(attribute='content') | join(', ') }}{{ strftime_now('%d %b %Y') }}{{ range(3) | list | sort }}");
  seeds.words({"{{",
               "}}",
               "{%",
               "%}",
               "{%-",
               "-%}",
               "{#",
               "#}",
               "{% for m in messages %}",
               "{% endfor %}",
               "{% if ",
               "{% endif %}",
               "{% set ",
               "namespace(",
               "{% macro f(x) %}",
               "{% endmacro %}",
               "messages",
               "['content']",
               ".role",
               " | tojson",
               " | join",
               " is defined",
               " not in ",
               "[::-1]",
               "raise_exception(",
               ".split(",
               "loop."});
}

void fuzz::run(std::string_view input) {
  Json tokens{{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  const auto layouts = accepted([&] { return ChatLayouts({std::string(input), "template", tokens}); });
  if (!layouts) return;
  for (const std::size_t turns : {0U, 2U})
    for (const bool with_system : {false, true})
      if (const auto layout = accepted([&] { return layouts->of(with_system, turns); });
          layout && layout->slots.size() != 2 * turns + (with_system ? 2 : 1))
        fail("a message is missing");
}
