#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/cli/input_lines.hpp"
#include "moderngpt2/cli/prompts_file.hpp"
#include "moderngpt2/cli/text_streams.hpp"
#include "support/temporary_folder.hpp"
#include "support/tokenizer_json.hpp"

using namespace moderngpt2;
using moderngpt2::test::TemporaryFolder;

namespace {

std::string read_error(const std::filesystem::path& path) {
  try {
    read_prompts(path);
  } catch (const Error& refused) {
    return refused.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("prompts of text and of JSON lines") {
  TemporaryFolder t;
  using Prompts = std::vector<std::string>;
  write_file(t / "a.txt",
             "\xEF\xBB\xBF"
             "first \r\n\n \t\n  second\nlast");
  CHECK(read_prompts(t / "a.txt") == Prompts{"first ", "  second", "last"});
  write_file(t / "a.jsonl", "{\"prompt\":\"one\\ntwo\",\"id\":1}\n\n{\"prompt\":\"\"}\r\n");
  CHECK(read_prompts(t / "a.jsonl") == Prompts{"one\ntwo", ""});

  write_file(t / "sjis.txt", "a\nb \x83\x41\n");
  CHECK(read_error(t / "sjis.txt")
            .ends_with("sjis.txt, line 2: not UTF-8 from byte 3 of the line on. Convert the file with iconv."));
  write_file(t / "a.JSON", "[\n{\"prompt\":\"one\", \"n\": NaN},\n{\"prompt\":\"two\"}]");
  CHECK(read_prompts(t / "a.JSON") == Prompts{"one", "two"});
  write_file(t / "a.json", "[{\"prompt\":\"one\"},{}]");
  CHECK(read_error(t / "a.json") == (t / "a.json").string() + ", item 2: prompt is missing");
  write_file(t / "b.jsonl", "{\"prompt\":\"x\"}\n{\"text\":\"x\"}\n");
  CHECK(read_error(t / "b.jsonl") == (t / "b.jsonl").string() + ", line 2: prompt is missing");
  write_file(t / "b.jsonl", "{\"prompt\":\"x\"}\n\n{\"prompt\":3}\n");
  CHECK(read_error(t / "b.jsonl").starts_with((t / "b.jsonl").string() + ", line 3: prompt must be a string"));
  write_file(t / "b.jsonl", "{\"prompt\":\n");
  CHECK(read_error(t / "b.jsonl").starts_with((t / "b.jsonl").string() + ", line 1: line 1"));
  write_file(t / "empty.txt", "\n\n");
  CHECK(read_error(t / "empty.txt") == (t / "empty.txt").string() + ": the file contains no prompts");
  CHECK(
      read_error(t / "c.csv").ends_with("prompts must be in a .txt file, one per line, or in a .json or .jsonl file"));
  CHECK(read_error(t / "none.txt").starts_with("cannot open "));
  CHECK(read_error("-").starts_with("--prompts_file -: standard input is read as one prompt"));
}

TEST_CASE("a completion as a line of JSON") {
  CHECK(completion_line("a\"b", "日\n\x01") == "{\"prompt\":\"a\\\"b\",\"completion\":\"日\\n\\u0001\"}\n");
  CHECK(completion_line("\xFF", "") == "{\"prompt\":\"\xEF\xBF\xBD\",\"completion\":\"\"}\n");
}

TEST_CASE("standard input as a prompt: no byte-order mark, no CR of a line end, no last line end") {
  CHECK(prompt_of_input("Once upon") == "Once upon");
  CHECK(prompt_of_input("Once upon\n") == "Once upon");
  CHECK(prompt_of_input("Once upon\r\n") == "Once upon");
  CHECK(prompt_of_input("\xEF\xBB\xBFone\r\ntwo\rthree\n\n") == "one\ntwo\rthree\n");
  CHECK(prompt_of_input("").empty());
  CHECK_THROWS_WITH_AS(prompt_of_input("a\x93\xfa"), doctest::Contains("not UTF-8 from byte 2 on"), Error);
}

TEST_CASE("lines of a descriptor, to the end of the input or to a signal") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const std::string text = "one\r\n\n" + std::string(10'000, 'x') + "\nlast";
  REQUIRE(::write(ends[1], text.data(), text.size()) == ssize_t(text.size()));
  InputLines lines(ends[0]);
  CHECK(lines.next() == "one");
  CHECK(lines.next() == "");
  CHECK(lines.next() == std::string(10'000, 'x'));
  detail::interrupt_signal = SIGINT;
  CHECK(!lines.next());
  detail::interrupt_signal = 0;
  ::close(ends[1]);
  CHECK(lines.next() == "last");
  CHECK(!lines.next());
  CHECK(!lines.next());
  ::close(ends[0]);
}

TEST_CASE("a wait for input ends when a signal comes") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  catch_interrupts();
  InputLines lines(ends[0]);
  std::thread killer([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ::kill(::getpid(), SIGINT);
  });
  CHECK(!lines.next());
  CHECK(interrupted() == SIGINT);
  killer.join();
  reset_interrupt();
  for (const StopSignal& signal : stop_signals) std::signal(signal.number, SIG_DFL);
  ::close(ends[0]), ::close(ends[1]);
}

TEST_CASE("texts that grow side by side are written one after the other") {
  Json json = test::empty_tokenizer_json();
  json["model"]["vocab"] = {{"<unk>", 0}, {"a", 1}, {"b", 2}, {"c", 3}, {"<0xC3>", 4}, {"<0xA9>", 5}};
  const Tokenizer tokenizer = Tokenizer::parse(json.dump(), "tokenizer");
  std::string text;
  TextStreams streams(tokenizer, 3, [&](const std::string& piece) { text += piece; });
  streams.put(0, 1);
  CHECK(text == "a");
  streams.put(1, 2), streams.put(2, 3);
  CHECK(text == "a");
  streams.end(2);
  streams.put(0, 4);
  CHECK(text == "a");  // half a character
  streams.put(0, 5);
  CHECK(text == "aé");
  streams.end(0);
  CHECK(text == "aé\n---\nb");
  streams.put(1, 1);
  CHECK(text == "aé\n---\nba");
  streams.put(1, 4);
  streams.end(1);
  CHECK(text == "aé\n---\nba\xEF\xBF\xBD\n---\nc\n");
}
