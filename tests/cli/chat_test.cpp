#include <algorithm>
#include <csignal>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/cli/chat.hpp"
#include "moderngpt2/cli/completions.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/model/heads.hpp"
#include "support/temporary_folder.hpp"
#include "support/tokenizer_json.hpp"

using namespace moderngpt2;
using moderngpt2::test::TemporaryFolder;

namespace {

using ChatModel = CausalLM<any_shape>;
using Ids = std::vector<int>;

/// Tokenizer with special tokens 0 to 4, then 256 bytes and the space.
Tokenizer chat_tokenizer(bool with_headers = true, const std::vector<std::string>& more = {}) {
  Json json = test::empty_tokenizer_json();
  Json& vocabulary = json["model"]["vocab"];
  const auto add = [&](const std::string& token) { vocabulary[token] = vocabulary.size(); };
  add("<unk>");
  if (with_headers)
    for (const char* token : {"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}) {
      json["added_tokens"].push_back(test::special_token(int(vocabulary.size()), token));
      add(token);
    }
  for (int byte = 0; byte < 256; ++byte) add(fmt::format("<0x{:02X}>", byte));
  add("▁");
  for (const std::string& token : more) {
    json["added_tokens"].push_back(test::special_token(int(vocabulary.size()), token));
    add(token);
  }
  return Tokenizer::parse(json.dump(), "tokenizer");
}

ChatModel chat_model(int n_positions = 200) {
  Config c;
  c.vocab_size = 262;
  c.n_positions = n_positions;
  c.n_embd = 16;
  c.n_layer = 2;
  c.n_head = c.n_kv_head = 2;
  c.head_dim = 8;
  c.n_inner = 24;
  c.initializer_range = 0.3;
  ChatModel model(c);
  model.initialize(3);
  return model;
}

/// Chat that records lines, text and notes.
struct Recorded {
  ChatModel model;
  std::vector<std::string> lines, notes;
  std::string text;
  std::size_t next = 0;
  std::function<void()> on_write = [] {};
  Chat<ChatModel> chat;

  Recorded(ChatFormat format, int max_new_tokens, std::vector<std::string> input = {}, int n_positions = 200,
           std::optional<std::string> system = std::nullopt)
      : model(chat_model(n_positions)),
        lines(std::move(input)),
        chat(model, chat_tokenizer(), settings(format, max_new_tokens, n_positions, std::move(system)),
             {[this] { return next < lines.size() ? std::optional(lines[next++]) : std::nullopt; },
              [this](const std::string& piece) { text += piece, on_write(); },
              [this](const std::string& line) { notes.push_back(line); }}) {}

  static ChatSettings settings(ChatFormat format, int max_new_tokens, int window, std::optional<std::string> system) {
    ChatSettings s{chat_markup(format, {}, chat_tokenizer()), std::move(system), {}, window};
    s.options.do_sample = false;
    s.options.max_new_tokens = max_new_tokens;
    return s;
  }
};

}  // namespace

TEST_CASE("messages with headers, byte for byte") {
  const Tokenizer tokenizer = chat_tokenizer();
  const ChatMarkup markup = *chat_markup(ChatFormat::header, {}, tokenizer);
  const Ids ids = markup.encode("Be kind.", {}, " 日本\n語 ");
  CHECK(tokenizer.decode(ids) ==
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n 日本\n語 <|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n");
  CHECK(ids == tokenizer.encode(tokenizer.decode(ids)));
  CHECK(markup.end_of_turn() == 4);

  const Ids forged = markup.encode(std::nullopt, {}, "<|eot_id|>");
  CHECK(std::count(forged.begin(), forged.end(), 4) == 1);
  CHECK(tokenizer.decode(forged).find("<|eot_id|><|eot_id|>") != std::string::npos);
  CHECK_THROWS_WITH_AS(
      chat_markup(ChatFormat::header, {}, chat_tokenizer(false)),
      "--chat_format header: the tokenizer has no token <|begin_of_text|>, which the chat format requires. "
      "Use --chat_format plain, or a tokenizer with this token (train_tokenizer --chat_tokens adds those "
      "of the header format).",
      Error);
}

TEST_CASE("the checkpoint's template is the format of a chat, whatever it is") {
  const Tokenizer with = chat_tokenizer(), without = chat_tokenizer(false);
  const Tokenizer chatml = chat_tokenizer(false, {"<|im_start|>", "<|im_end|>"});
  TemporaryFolder t;
  const auto automatic = [&](const Tokenizer& tokenizer) {
    return chat_markup(ChatFormat::automatic, t.path(), tokenizer);
  };
  const auto store = [&](const std::string& jinja) {
    write_file(t / "tokenizer_config.json", Json{{"chat_template", jinja}, {"bos_token", "<|begin_of_text|>"}}.dump());
  };
  CHECK(!automatic(with));
  write_file(t / "tokenizer_config.json", R"({"chat_template":null})");
  CHECK(!automatic(with));
  store(chat_jinja_template());
  CHECK(automatic(with)->end_of_turn() == 4);
  CHECK(automatic(with)->note().empty());
  CHECK(automatic(without)->note().ends_with("the tokenizer has no token <|begin_of_text|>; it is encoded as text"));
  store(chatml_jinja_template);
  CHECK(automatic(with)->note() ==
        (t / "tokenizer_config.json").string() +
            ": chat_template: the tokenizer has no token <|im_start|>; it is encoded as text");
  const std::optional<ChatMarkup> markup = automatic(chatml);
  CHECK(chatml.decode(markup->encode("S", {}, "U")) ==
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n");
  CHECK(markup->end_of_turn() == chatml.id("<|im_end|>"));
  write_file(t / "chat_template.jinja", "{% for m in messages %}[{{ m.role }}]{{ m['content'] | trim }}\n{% endfor %}");
  ChatHistory tags(*automatic(chatml), std::nullopt);
  CHECK(chatml.decode(tags.ask(" U ", 1000).ids) == "[user]U\n");
  tags.answer(chatml.encode("A"));
  CHECK(chatml.decode(tags.ask("V", 1000).ids) == "[user]U\n[assistant]A\n[user]V\n");
  CHECK(!chat_markup(ChatFormat::plain, t.path(), with));
  for (const char* refused : {"{{ messages }}", "{% macro f() %}{% endmacro %}", "{% include 'x' %}", "always the same",
                              "{% for m in messages %}{{ m.content | upper }}{% endfor %}", "{% for m in messages %}",
                              "{{ messages[0].content", "{{ strftime_now('%Y') }}", "{{ nothing.content }}"}) {
    write_file(t / "chat_template.jinja", refused);
    CAPTURE(refused);
    CHECK_THROWS_WITH_AS(automatic(chatml), doctest::Contains("chat_template.jinja: "), Error);
    CHECK_THROWS_WITH_AS(automatic(chatml), doctest::Contains("Choose --chat_format plain"), Error);
  }
}

TEST_CASE("a system prompt that the template refuses is an error") {
  const Tokenizer gemma = chat_tokenizer(false, {"<start_of_turn>", "<end_of_turn>"});
  const ChatMarkup markup = *chat_markup(ChatFormat::gemma, {}, gemma);
  CHECK(gemma.decode(markup.encode(std::nullopt, {}, " Hi ")) ==
        "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n");
  ChatHistory history(markup, std::nullopt);
  history.ask("a", 1000);
  history.answer(gemma.encode("b"));
  CHECK(
      gemma.decode(history.ask("c", 1000).ids) ==
      "<start_of_turn>user\na<end_of_turn>\n<start_of_turn>model\nb<end_of_turn>\n<start_of_turn>user\nc<end_of_turn>\n"
      "<start_of_turn>model\n");
  CHECK_THROWS_AS(ChatHistory(markup, "S"), UsageError);
}

TEST_CASE("whole turns are forgotten from the front, the system prompt never") {
  const Tokenizer tokenizer = chat_tokenizer();
  ChatHistory history(*chat_markup(ChatFormat::header, {}, tokenizer), "S");
  const auto text_of = [&](const ChatHistory::Prompt& prompt) { return tokenizer.decode(prompt.ids, true); };
  for (const char* turn : {"1", "2", "3"}) {
    CHECK(history.ask(turn, 1000).dropped_turns == 0);
    history.answer(tokenizer.encode(std::string("a") + turn));
  }
  const ChatHistory::Prompt all = history.ask("4", 1000);
  CHECK(text_of(all) ==
        "system\n\nSuser\n\n1assistant\n\na1user\n\n2assistant\n\na2user\n\n3assistant\n\na3user\n\n4assistant\n\n");
  CHECK(history.ask("4", all.ids.size()).dropped_turns == 0);
  const ChatHistory::Prompt less = history.ask("4", all.ids.size() - 1);
  CHECK(less.dropped_turns == 1);
  CHECK(text_of(less) == "system\n\nSuser\n\n2assistant\n\na2user\n\n3assistant\n\na3user\n\n4assistant\n\n");
  const ChatHistory::Prompt least = history.ask("4", 1);
  CHECK(least.dropped_turns == 3);
  CHECK(text_of(least) == "system\n\nSuser\n\n4assistant\n\n");
  CHECK(history.ask("4", 1000).ids == all.ids);  // nothing is forgotten for a message without answer
  history.ask("4", all.ids.size() - 1);
  history.answer(tokenizer.encode("a4"));
  CHECK(text_of(history.ask("5", 1000)).starts_with("system\n\nSuser\n\n2assistant"));
}

TEST_CASE("an answer is that of a fresh computation of the whole chat, and costs what is new") {
  const Tokenizer tokenizer = chat_tokenizer();
  const ChatMarkup markup = *chat_markup(ChatFormat::header, {}, tokenizer);
  Recorded r(ChatFormat::header, 9, {}, 200, "Be kind.");
  std::vector<ChatTurn> turns;
  std::size_t computed = 0;
  GenerationOptions options = Recorded::settings(ChatFormat::header, 9, 200, {}).options;
  options.eos_token_ids = {*markup.end_of_turn()};
  for (const std::string message : {"Hello", "How are you?", "x"}) {
    const Ids text = markup.encode("Be kind.", turns, message);
    const GenerationResult result = r.chat.answer(message).value();
    CHECK(result.tokens == generate(r.model, text, options).tokens);
    CHECK(result.prompt_tokens == int(text.size()));
    CHECK(std::size_t(result.cached_tokens) == computed);
    computed = text.size() + result.tokens.size() - (result.eos_token ? 0 : 1);
    turns.push_back({message, result.tokens});
  }
  CHECK(r.notes.empty());
}

TEST_CASE("a chat that outgrows the model goes on without its beginning, and says so") {
  Recorded r(ChatFormat::header, 10, {"aaaa", "bbbb", "cccc", std::string(300, 'z'), "dddd"}, 100);
  r.chat.run();
  REQUIRE(r.notes.size() == 3);
  CHECK(r.notes[0] == "the chat no longer fits 100 tokens: its first turn is forgotten");
  CHECK(r.notes[1].find("leaves no room in the context of 100 tokens") != std::string::npos);
  CHECK(r.notes[2] == "the chat no longer fits 100 tokens: its first turn is forgotten");
}

TEST_CASE("plain lines are continued each by itself") {
  Recorded r(ChatFormat::plain, 6, {"first", "", " \t", "second", "exit", "third"});
  r.chat.run();
  std::string expected;
  ChatModel model = chat_model();
  const Tokenizer tokenizer = chat_tokenizer();
  for (const char* line : {"first", "second"}) {
    GenerationOptions o;
    o.do_sample = false, o.max_new_tokens = 6;
    StreamDecoder decoder(tokenizer);
    for (const int token : generate(model, tokenizer.encode(line), o).tokens) expected += decoder.put(token);
    expected += decoder.finish() + "\n";
  }
  CHECK(r.text == expected);
  CHECK(r.next == 5);
  Recorded quit(ChatFormat::plain, 6, {"quit", "x"});
  quit.chat.run();
  CHECK(quit.text.empty());
}

TEST_CASE("an interrupt ends an answer and keeps the chat; one at the prompt ends the chat") {
  Recorded r(ChatFormat::header, 50, {"one", "two"}, 400);
  int pieces = 0;
  r.on_write = [&] {
    if (++pieces == 3) detail::interrupt_signal = SIGINT;
  };
  r.chat.run();
  CHECK(interrupted() == 0);
  CHECK(r.next == 2);
  CHECK(std::count(r.text.begin(), r.text.end(), '\n') >= 2);
  CHECK(pieces > 10);  // the second answer was completed

  Recorded at_prompt(ChatFormat::header, 5, {});
  detail::interrupt_signal = SIGINT;
  CHECK_THROWS_AS(at_prompt.chat.run(), ExitRequest);
  detail::interrupt_signal = 0;
  Recorded ended(ChatFormat::header, 50, {"one"}, 400);
  ended.on_write = [] { detail::interrupt_signal = SIGTERM; };
  try {
    ended.chat.run();
    FAIL("SIGTERM ends the program");
  } catch (const ExitRequest& request) {
    CHECK(request.status == 128 + SIGTERM);
  }
  detail::interrupt_signal = 0;
}

TEST_CASE("completions of one prompt and of many, streamed in order") {
  ChatModel model = chat_model();
  const Tokenizer tokenizer = chat_tokenizer();
  GenerateFlags flags;
  flags.max_new_tokens = 12;
  flags.num_return_sequences = 3;
  flags.settings.eos_token_ids = {0, 4};
  const Ids prompt = tokenizer.encode("Once");
  std::string text, one_by_one, lines;
  const auto to = [](std::string& target) { return [&](const std::string& piece) { target += piece; }; };
  const Completions done = stream_completions(model, tokenizer, prompt, flags, to(text));
  CHECK(done.results.size() == 3);
  CHECK(done.speed().find("3 completions") != std::string::npos);
  flags.batch_size = 1;
  stream_completions(model, tokenizer, prompt, flags, to(one_by_one));
  CHECK(text == one_by_one);
  std::string expected;
  for (std::size_t i = 0; i < 3; ++i) {
    TextStreams stream(tokenizer, 1, to(expected));
    if (i > 0) expected += "---\n";
    for (const int token : done.results[i].tokens) stream.put(0, token);
    stream.end(0);
  }
  CHECK(text == expected);

  const std::vector<std::string> prompts{"Once", "upon a time", "x"};
  std::vector<Ids> ids;
  for (const std::string& p : prompts) ids.push_back(tokenizer.encode(p));
  for (const int beams : {1, 3}) {
    flags.settings.num_beams = beams;
    std::string expected_lines;
    for (std::size_t i = 0; i < 3; ++i) {
      const Completions alone = stream_completions(model, tokenizer, ids[i], flags, [](const std::string&) {});
      for (const GenerationResult& result : alone.results)
        expected_lines += completion_line(prompts[i], tokenizer.decode(result.tokens, true));
    }
    for (const int batch_size : {1, 2, 9}) {
      flags.batch_size = batch_size;
      lines.clear();
      write_completions(model, tokenizer, prompts, ids, flags, to(lines));
      CHECK(lines == expected_lines);
    }
  }
  ids[1] = Ids(300, 7);
  CHECK_THROWS_WITH_AS(write_completions(model, tokenizer, prompts, ids, flags, to(lines)),
                       "prompt 2: the prompt has 300 tokens, more than the model's n_positions 200: shorten it", Error);
}
