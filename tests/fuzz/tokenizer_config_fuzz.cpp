// Files beside tokenizer.json: tokenizer_config.json, special_tokens_map.json, and chat_template.jinja if not empty.
// A chat is encoded in the format that they select.
#include "json_mutator.hpp"
#include "moderngpt2/cli/chat_format.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "support/letter_tokenizer.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  for (const std::string& text : seeds.data("tokenizer", "tokenizer_config.json")) seeds.add(text);
  for (const std::string& text : seeds.data("tokenizer", "special_tokens_map.json")) seeds.add(join({"{}", text}));
  seeds.add(join({R"({"eos_token": {"content": "<eos>", "lstrip": false}, "pad_token": null, "unk_token": "<unk>",
    "add_bos_token": true, "model_max_length": 1e30, "chat_template": [{"name": "default", "template": "{{ x }}"}]})",
                  R"({"eos_token": "<eos>", "additional_special_tokens": ["<pad>"]})", "{% for m in messages %}"}));
  seeds.words({"eos_token", "pad_token", "unk_token", "bos_token", "content", "<eos>", "<pad>", "chat_template",
               "added_tokens_decoder", "<|im_start|>", "<|start_header_id|>", separator});
}

void fuzz::run(std::string_view input) {
  static const std::filesystem::path checkpoint = [] {
    test::write_letter_tokenizer(folder() / "tokenizer");
    return folder() / "tokenizer";
  }();
  const auto parts = split(input, 3);
  file("tokenizer/tokenizer_config.json", parts[0]);
  file("tokenizer/special_tokens_map.json", parts[1].empty() ? "{}" : parts[1]);
  const std::filesystem::path chat = file("tokenizer/chat_template.jinja", parts[2]);
  if (parts[2].empty()) std::filesystem::remove(chat);
  const auto tokenizer = accepted([&] { return Tokenizer::load(checkpoint); });
  if (!tokenizer) {
    (void)has_chat_template(checkpoint);
    return;
  }
  for (const auto& id : {tokenizer->eos_id(), tokenizer->pad_id(), tokenizer->unk_id()})
    if (id) (void)tokenizer->token(*id);
  if (const auto markup = chat_markup(ChatFormat::automatic, checkpoint, *tokenizer))
    (void)ChatHistory(*markup, "system").ask("question", 10);
}
