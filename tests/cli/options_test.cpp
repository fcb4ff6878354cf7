#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/cli/options.hpp"

using namespace moderngpt2;

namespace {

enum class Colour { red, green };

struct Fixture {
  int block_size = 1024;
  std::int64_t limit = 5;
  double rate = 2.5e-4;
  std::string prompt = "hello";
  std::filesystem::path output = "out";
  bool quiet = false;
  bool sample = true;
  std::vector<std::string> special{"<a>"};
  std::vector<int> sizes;
  std::optional<double> top_p;
  std::optional<bool> bias;
  Colour colour = Colour::red;
  std::string scheduler = "cosine";
  Options options{"tool", "Does things."};

  Fixture() {
    options.section("Numbers");
    options.add("block_size", block_size, "tokens in a block").at_least(1);
    options.add("limit", limit, "a limit");
    options.add("rate", rate, "the rate").more_than(0).alias("learning_rate");
    options.add("top_p", top_p, "nucleus").between(0, 1);
    options.section("Words");
    options.add("prompt", prompt, "text to go on from");
    options.add("output", output, "where to write").required();
    options.add("quiet", quiet, "says little");
    options.add("sample", sample, "draws").negatable();
    options.add("bias", bias, "bias").negatable();
    options.add("special_tokens", special, "tokens");
    options.add("sizes", sizes, "sizes");
    options.add_choice("colour", colour, {{"red", Colour::red}, {"green", Colour::green}}, "paint");
    options.add("scheduler", scheduler, "schedule").choices({"cosine", "linear"});
    options.add_ignored("torch_compile", "compiled already");
  }

  void parse(std::vector<std::string> words) {
    words.insert(words.begin(), "--output=o");
    options.parse(words);
  }

  std::string error(const std::vector<std::string>& words) {
    try {
      parse(words);
    } catch (const UsageError& refused) {
      return refused.what();
    }
    return "accepted";
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "values reach their variables, and the others keep their defaults") {
  parse({"--block_size", "8", "--rate=1e-3", "--quiet", "--special_tokens", "a b", "[PAD]", "<|c|>", "--sizes", "3",
         "-4", "--top_p", ".5", "--colour", "green", "--scheduler=linear"});
  CHECK(block_size == 8);
  CHECK(rate == 1e-3);
  CHECK(quiet);
  CHECK(special == std::vector<std::string>{"a b", "[PAD]", "<|c|>"});
  CHECK(sizes == std::vector<int>{3, -4});
  CHECK(top_p.value() == 0.5);
  CHECK(colour == Colour::green);
  CHECK(scheduler == "linear");
  CHECK(output == "o");
  CHECK(limit == 5);
  CHECK(sample);
  CHECK_FALSE(bias.has_value());
  CHECK(options.typed("block_size"));
  CHECK_FALSE(options.typed("limit"));
}

TEST_CASE_FIXTURE(Fixture, "no arguments change nothing") {
  parse({});
  CHECK(block_size == 1024);
  CHECK(special == std::vector<std::string>{"<a>"});
}

TEST_CASE_FIXTURE(Fixture, "negative, dashed, empty and odd values") {
  parse({"--limit", "-1", "--prompt=--help me", "--special_tokens="});
  CHECK(limit == -1);
  CHECK(prompt == "--help me");
  CHECK(special == std::vector<std::string>{""});
  parse({"--prompt", "-- he said", "--special_tokens", "-"});
  CHECK(prompt == "-- he said");
  CHECK(special == std::vector<std::string>{"-"});
}

TEST_CASE_FIXTURE(Fixture, "an empty value after = is empty") {
  parse({"--prompt=", "--limit=010"});
  CHECK(prompt.empty());
  CHECK(limit == 10);
}

TEST_CASE_FIXTURE(Fixture, "a value with one dash, and with =") {
  parse({"--prompt", "-x=y=z"});
  CHECK(prompt == "-x=y=z");
}

TEST_CASE_FIXTURE(Fixture, "a value that looks like a flag is the value after =, and an error elsewhere") {
  for (const std::string word :
       {"-h", "--help", "--version", "--completion", "--help_man", "--quiet", "--unknown", "--"}) {
    CAPTURE(word);
    parse({"--prompt=" + word});
    CHECK(prompt == word);
    CHECK(error({"--prompt", word}) ==
          "--prompt needs a value, and " + word + " looks like a flag: write --prompt=" + word + " if it is the value");
    CHECK(error({"--special_tokens", word}).starts_with("--special_tokens needs a value, and " + word));
  }
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"--prompt", "x", "-h"},
                                             {"--quiet", "-h"},
                                             {"--nope", "--help"},
                                             {"--special_tokens", "a", "--help"},
                                             {"--torch_compile", "-h"},
                                             {"--limit", "x", "--limit", "y", "--help"}})
    CHECK_THROWS_AS(parse(words), ExitRequest);
  CHECK(error({"--", "--help"}) != "accepted");  // after --, all words are arguments
}

TEST_CASE_FIXTURE(Fixture, "switches take a word, and --no_ where asked") {
  parse({"--quiet", "False", "--no_sample", "--bias=false"});
  CHECK_FALSE(quiet);
  CHECK_FALSE(sample);
  CHECK(bias.value() == false);
  CHECK(options.typed("sample"));
}

TEST_CASE_FIXTURE(Fixture, "names with dashes, and the words that argparse programs take for a switch") {
  parse({"--block-size", "9", "--no-sample", "--quiet", "Yes", "--bias=t", "--learning-rate=2"});
  CHECK(block_size == 9);
  CHECK_FALSE(sample);
  CHECK(quiet);
  CHECK(bias == true);
  CHECK(rate == 2);
  parse({"--quiet", "0", "--sample", "FALSE"});
  CHECK_FALSE(quiet);
  CHECK_FALSE(sample);
}

TEST_CASE_FIXTURE(Fixture, "flags of another program: accepted, refused, converted") {
  using Form = ForeignFlag::Form;
  options.add_foreign({"pin", Form::toggle, "*", "not needed"});
  options.add_foreign({"upload", Form::toggle, "False", "nothing is uploaded", "nothing is uploaded. Do it yourself"});
  options.add_foreign({"optim", Form::value, "adamw|adamw_fused", "AdamW is used", "only AdamW. Leave it out"});
  options.add_foreign({"metrics", Form::list, "*", "not needed"});
  options.add_converted("percent", "limit", [](const std::string& text) { return text + "00"; });
  parse({"--pin", "--no_upload", "--optim=adamw_fused", "--metrics", "a", "b", "--percent", "3", "--quiet"});
  CHECK(quiet);
  CHECK(limit == 300);
  CHECK(options.typed("limit"));
  CHECK(options.notes() == std::vector<std::string>{"--pin: not needed", "--upload: nothing is uploaded",
                                                    "--optim: AdamW is used", "--metrics: not needed"});
  CHECK(options.help().find("--pin") == std::string::npos);
  for (const char* off : {"--no-pin", "--pin=False", "--pin"}) CHECK(error({off}) == "accepted");
  CHECK(error({"--upload"}) == "--upload True: nothing is uploaded. Do it yourself");
  CHECK(error({"--upload", "yes"}) == "--upload True: nothing is uploaded. Do it yourself");
  CHECK(error({"--optim", "sgd"}) == "--optim sgd: only AdamW. Leave it out");
  CHECK(error({"--pin", "3"}) == "unexpected argument '3'");
  CHECK(error({"--pin=3"}) == "--pin: '3' is neither true nor false");
  CHECK(error({"--limit", "1", "--percent", "2"}) == "--percent and --limit set the same value: give one");
  CHECK(error({"--percent", "2", "--limit", "1"}) == "--limit is given twice");
  options.add_foreign({"sampler", Form::value, "", "", "--seed sets the order. Use that flag"});
  CHECK(error({"--sampler"}) == "--sampler: --seed sets the order. Use that flag");
  CHECK(error({"--sampler="}) == "--sampler: --seed sets the order. Use that flag");
  CHECK(error({"--sampler", "x"}) == "--sampler x: --seed sets the order. Use that flag");
  CHECK(error({"--uplod"}) == "there is no option --uplod; did you mean --upload?");
}

TEST_CASE_FIXTURE(Fixture, "an alias, and a flag that means nothing here") {
  parse({"--learning_rate", "0.5", "--torch_compile", "--torch_compile", "max", "x"});
  CHECK(rate == 0.5);
  CHECK(options.typed("rate"));
  REQUIRE(options.notes().size() == 1);
  CHECK(options.notes()[0] == "--torch_compile: compiled already");
}

TEST_CASE_FIXTURE(Fixture, "a flag that may stand without its value") {
  std::optional<std::string> file;
  options.add("file", file, "a file").bare("");
  parse({"--file", "a.json", "--quiet"});
  CHECK(file == "a.json");
  parse({"--file", "--quiet"});
  CHECK(file == "");
  file.reset();
  parse({"--quiet", "--file"});
  CHECK(file == "");
  parse({"--file=b.json"});
  CHECK(file == "b.json");
}

TEST_CASE_FIXTURE(Fixture, "each fault has its line") {
  CHECK(error({"--blok_size", "3"}) == "there is no option --blok_size; did you mean --block_size?");
  CHECK(error({"--blok-size=3"}) == "there is no option --blok-size; did you mean --block_size?");
  CHECK(error({"--no_quiet"}) == "there is no option --no_quiet");  // the opposite
  CHECK(error({"--quiett"}) == "there is no option --quiett; did you mean --quiet?");
  CHECK(error({"--xyzzy_plugh"}) == "there is no option --xyzzy_plugh");
  CHECK(error({"--special_tokens", "a", "--nope"}).starts_with("there is no option --nope"));
  CHECK(error({"-q"}).starts_with("there is no option -q"));
  CHECK(error({"-"}) == "there is no option -");
  CHECK(error({"file.txt"}) == "unexpected argument 'file.txt'");
  CHECK(error({"--block_size", "3", "4"}) == "unexpected argument '4'");
  CHECK(error({"--limit", "3", "--limit=4"}) == "--limit is given twice");
  CHECK(error({"--rate", "3", "--learning_rate=4"}) == "--learning_rate is given twice");
  CHECK(error({"--limit"}) == "--limit needs a value (--limit=VALUE where it begins with dashes)");
  CHECK(error({"--limit", "--quiet"}) ==
        "--limit needs a value, and --quiet looks like a flag: write --limit=--quiet if it is the value");
  CHECK(error({"--special_tokens", "--quiet"}).starts_with("--special_tokens needs a value"));
  CHECK(error({"--limit", "3x"}) == "--limit: '3x' is not a whole number");
  CHECK(error({"--limit", "1e3"}) == "--limit: '1e3' is not a whole number");
  CHECK(error({"--limit="}) == "--limit: '' is not a whole number");
  CHECK(error({"--block_size", "99999999999"}) == "--block_size: 99999999999 is outside the range of its type");
  CHECK(error({"--block_size", "0"}) == "--block_size: 0 is less than 1");
  CHECK(error({"--rate", "0"}) == "--rate: 0 is not more than 0");
  CHECK(error({"--rate", "nan"}) == "--rate: 'nan' is not a finite number");
  CHECK(error({"--rate", "fast"}) == "--rate: 'fast' is not a number");
  CHECK(error({"--top_p", "1.5"}) == "--top_p: 1.5 is more than 1");
  CHECK(error({"--colour", "blue"}) == "--colour: 'blue' is not one of red, green");
  CHECK(error({"--scheduler", "x"}) == "--scheduler: 'x' is not one of cosine, linear");
  CHECK(error({"--scheduler=lineer"}) == "--scheduler: 'lineer' is not one of cosine, linear; did you mean linear?");
  CHECK(error({"--quiet=perhaps"}) == "--quiet: 'perhaps' is neither true nor false");
  CHECK_THROWS_WITH_AS(options.parse({}), "--output is required", UsageError);
}

TEST_CASE_FIXTURE(Fixture, "help shows every option with its default") {
  try {
    parse({"--help"});
    FAIL("--help must leave");
  } catch (const ExitRequest& request) {
    CHECK(request.status == 0);
    CHECK(request.text == options.help());
  }
  const std::string text = options.help(110);
  for (const char* part : {"Does things.", "Numbers:", "--block_size INT", "(default: 1024)", "(default: 0.00025)",
                           "--sample, --no_sample", "(default: on)", "--colour red|green", "(default: red)",
                           "--special_tokens TEXT...", "(required)", "(also --learning_rate)"})
    CHECK_MESSAGE(text.find(part) != std::string::npos, std::string(part));
  CHECK(text.find("torch_compile") == std::string::npos);
  for (const std::size_t width : {110, 80, 60}) {
    const std::string wrapped = options.help(int(width));
    for (std::size_t begin = 0; begin < wrapped.size();) {
      const std::size_t end = wrapped.find('\n', begin);
      CHECK(end - begin <= width);
      begin = end + 1;
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "version, manual, completions and Markdown") {
  try {
    parse({"--version"});
    FAIL("--version must leave");
  } catch (const ExitRequest& request) {
    CHECK(request.text == "tool (ModernGPT2) " + std::string(version) + "\n");
  }
  const auto answer = [&](std::vector<std::string> words) {
    try {
      parse(std::move(words));
    } catch (const ExitRequest& request) {
      return request.text;
    }
    return std::string();
  };
  CHECK(answer({"--help_man"}) == option_man(options.table()));
  CHECK(answer({"--completion", "zsh"}) == option_completion(options.table(), "zsh"));
  CHECK(answer({"--completion=fish"}) == option_completion(options.table(), "fish"));
  CHECK(error({"--completion"}) == "--completion: '' is not one of bash, zsh, fish");
  const std::string table = answer({"--help_markdown"});
  CHECK(table.find("| `--block_size INT` | `1024` | tokens in a block |\n") != std::string::npos);
  CHECK(table.find("| `--colour red\\|green` | `red` | paint |\n") != std::string::npos);
}
