#include <string>

#include <doctest/doctest.h>

#include "moderngpt2/cli/option_completion.hpp"
#include "moderngpt2/cli/option_man.hpp"
#include "moderngpt2/cli/option_table.hpp"
#include "moderngpt2/cli/option_text.hpp"

using namespace moderngpt2;

namespace {

/// Table with all characters that are special in a text format.
OptionTable odd_table() {
  OptionTable table;
  table.program = "tool";
  table.description = "Reads tool.json and <pad>; more. Even that's not all.";
  table.positional_name = "DIR";
  table.rows.emplace_back("kind", "one of 'a' [or] b\\c", Option::Kind::value)
      .choices({"x|y", "z"})
      .default_text("x|y");
  table.rows.emplace_back("folder", ".hidden ones too", Option::Kind::value).metavar("DIR").required();
  table.rows.emplace_back("input", "files", Option::Kind::list).metavar("PATH").alias("in");
  table.rows.emplace_back("count", "a number", Option::Kind::value).metavar("INT");
  table.rows.emplace_back("quiet", "says little", Option::Kind::toggle).negatable();
  table.rows.emplace_back("secret", "unseen", Option::Kind::toggle).hidden();
  table.examples.push_back({"An example", "--kind 'x|y' --folder-less"});
  return table;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("the summary is the first sentence, in which a file's name has its dot") {
  OptionTable table = odd_table();
  CHECK(table.summary() == "reads tool.json and <pad>");
  table.description = "One sentence";
  CHECK(table.summary() == "one sentence");
  table.description = "Ends.";
  CHECK(table.summary() == "ends");
  table.description = "";
  CHECK(table.summary().empty());
}

TEST_CASE("a page of the documentation: prose is no markup, and a bar no border") {
  const std::string page = option_markdown(odd_table());
  CHECK(page.starts_with(
      "# tool\n\nReads tool.json and &lt;pad>; more. Even that's not all.\n\n    tool [OPTIONS] DIR...\n"));
  CHECK(has(page, "| `--kind x\\|y\\|z` | `x\\|y` | one of 'a' [or] b\\c |\n"));
  CHECK(has(page, "| `--folder DIR` | required | .hidden ones too |\n"));
  CHECK(has(page, "| `--input PATH...` |  | files (also `--in`) |\n"));
  CHECK(has(page, "An example:\n\n```sh\ntool --kind 'x|y' --folder-less\n```\n"));
  CHECK(has(page, "| 2 | an invalid command line; nothing was done |\n"));
  CHECK(!has(page, "secret"));
}

TEST_CASE("a manual page: no character is a command of roff") {
  const std::string page = option_man(odd_table());
  CHECK(page.starts_with(".TH TOOL 1 "));
  CHECK(has(page, ".SH NAME\ntool \\- reads tool.json and <pad>\n"));
  CHECK(has(page, "\\fB\\-\\-kind\\fR \\fIx|y|z\\fR\none of 'a' [or] b\\ec (default: x|y)\n"));
  CHECK(has(page, "\n\\&.hidden ones too (required)\n"));
  CHECK(has(page, "\\fB\\-\\-quiet\\fR, \\fB\\-\\-no_quiet\\fR\n"));
  CHECK(has(page, ".EX\ntool \\-\\-kind 'x|y' \\-\\-folder\\-less\n.EE\n"));
  CHECK(!has(page, "secret"));
}

TEST_CASE("completions: words, files, folders, or nothing, by what an option takes") {
  const OptionTable table = odd_table();
  const std::string bash = option_completion(table, "bash"), zsh = option_completion(table, "zsh"),
                    fish = option_completion(table, "fish");
  CHECK(has(bash, "    --kind) words='x|y z' ;;\n"));
  CHECK(has(bash, "    --folder) kind=directory ;;\n"));
  CHECK(has(bash, "    --input|--in) kind=file ;;\n"));
  CHECK(has(bash, "    --count) return ;;\n"));
  CHECK(has(bash, "complete -F _moderngpt2_tool tool\n"));
  CHECK(zsh.starts_with("#compdef tool\n"));
  CHECK(has(zsh, "'--kind=[one of '\\''a'\\'' \\[or\\] b\\\\c]:"));
  CHECK(has(zsh, "'--folder=[.hidden ones too]:DIR:_files -/'"));
  CHECK(has(zsh, "'--no_quiet[says little]'"));
  CHECK(has(fish, "complete -c tool -l kind -x -a 'x|y z' -d 'one of '\\''a'\\'' [or] b\\\\c'\n"));
  CHECK(has(fish, "complete -c tool -l folder -x -a '(__fish_complete_directories)' -d '.hidden ones too'\n"));
  CHECK(has(fish, "complete -c tool -l in -r -F -d 'files'\n"));
  for (const std::string& script : {bash, zsh, fish}) CHECK(!has(script, "secret"));
  CHECK_THROWS_WITH_AS(option_completion(table, "tcsh"), "--completion: 'tcsh' is not one of bash, zsh, fish",
                       UsageError);
}
