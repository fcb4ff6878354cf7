// Prompts files: the input as .txt and as .jsonl, and the line that is written for each prompt.
#include "fuzz.hpp"
#include "moderngpt2/cli/prompts_file.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  seeds.add(
      "\xEF\xBB\xBF"
      "one\r\n\ntwo \xF0\x9F\x98\x80\n");
  seeds.add("{\"prompt\": \"one\"}\n\n{\"id\": 2, \"prompt\": \"tw\\u00f6\"}");
  seeds.words({"{\"prompt\": \"", "\"}\n", "\r\n", "\xEF\xBB\xBF", "\\ud83d"});
}

void fuzz::run(std::string_view input) {
  for (const char* name : {"prompts.txt", "prompts.jsonl"}) {
    const std::filesystem::path path = file(name, input);
    const auto prompts = accepted([&] { return read_prompts(path); });
    if (!prompts) continue;
    for (const std::string& prompt : *prompts)
      if (completion_line(prompt, prompt).find('\n') + 1 != completion_line(prompt, prompt).size())
        fail("a completion of several lines");
  }
}
