#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <sentencepiece_processor.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/export.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/tokenizer/train.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;

namespace {

std::vector<std::string> documents() {
  std::vector<std::string> list;
  for (int i = 0; i < 60; ++i) {
    list.push_back(fmt::format("The miller counted {} sacks of flour.\n\"Are these all?\" asked the baker.\n", i * 37));
    list.push_back(fmt::format("粉屋は袋を{}個数えました。\n「これで全部ですか」とパン屋は聞きました。", i));
  }
  return list;
}

NextDocument reader(std::vector<std::string> list) {
  return [list = std::move(list), at = std::size_t{0}](std::string& out) mutable {
    if (at == list.size()) return false;
    out = list[at++];
    return true;
  };
}

TokenizerTraining settings(int vocab_size, const std::string& model_type = "bpe") {
  TokenizerTraining training;
  training.vocab_size = vocab_size;
  training.model_type = model_type;
  training.num_threads = 2;
  training.character_coverage = 1;
  return training;
}

std::string train(const TokenizerTraining& training) { return train_sentencepiece(training, reader(documents())); }

Tokenizer tokenizer_of(const std::string& model) {
  return Tokenizer::parse(tokenizer_json(parse_sentencepiece_model(model, "m"), "m").dump(), "t.json");
}

const std::vector<std::string> samples{"",
                                       " ",
                                       "The baker",
                                       "  two  spaces   three ",
                                       "sacks of flour, sacks of rye",
                                       "粉屋は flour を\n\n数えた",
                                       "tab\tzero",
                                       "emoji 😀 and ▅",
                                       "\r\n",
                                       "aaaaaaaa",
                                       "    \n    x"};

}  // namespace

TEST_CASE("ids: fixed tokens, further special tokens, bytes, pieces") {
  TokenizerTraining training = settings(420);
  training.special_tokens = {"<|endoftext|>", "<b,\"c\">", "<unk>", "<a>", "<a>"};
  training.chat_tokens = true;
  const SentencePieceModel model = parse_sentencepiece_model(train(training), "m");
  REQUIRE(model.pieces.size() == 420);
  CHECK(model.pieces[0].text == "<pad>");
  CHECK(model.pieces[1].text == "<unk>");
  CHECK(model.pieces[1].type == SentencePieceModel::Type::unknown);
  CHECK(model.pieces[2].text == "<|endoftext|>");
  CHECK(model.pieces[3].text == "<b,\"c\">");
  CHECK(model.pieces[4].text == "<a>");
  CHECK(model.pieces[5].text == "<|system|>");
  CHECK(model.pieces[16].text == "<|reserved_special_token_3|>");
  CHECK(model.pieces[16].type == SentencePieceModel::Type::control);
  CHECK(model.pieces[17].text == "<0x00>");
  CHECK(model.pieces[17 + 255].text == "<0xFF>");
  CHECK(model.pieces[17 + 256].type == SentencePieceModel::Type::normal);
  CHECK(!model.add_dummy_prefix);
  CHECK(!model.remove_extra_whitespaces);
  CHECK(model.character_map.empty());
  CHECK(model.byte_fallback);
  CHECK(sentencepiece_differences(model).empty());
}

TEST_CASE("the exported tokenizer gives SentencePiece's own ids, and its text back") {
  for (const std::string type : {"bpe", "unigram"}) {
    const std::string model = train(settings(type == "bpe" ? 430 : 345, type));
    sentencepiece::SentencePieceProcessor processor;
    REQUIRE(processor.LoadFromSerializedProto(model).ok());
    const Tokenizer tokenizer = tokenizer_of(model);
    std::vector<std::string> texts = samples;
    if (type == "bpe") {  // not unigram: ties, and the text has no character of this token
      for (const std::string& text : documents()) texts.push_back(text);
      texts.push_back("<|endoftext|> and <0x41>");
    }
    for (const std::string& text : texts) {
      CAPTURE(type);
      CAPTURE(text);
      const std::vector<int> ids = tokenizer.encode(text, true);
      CHECK(ids == processor.EncodeAsIds(text));
      CHECK(tokenizer.decode(ids) == text);
    }
  }
}

TEST_CASE("line breaks get a piece; the tab falls to a byte") {
  const Tokenizer tokenizer = tokenizer_of(train(settings(430)));
  CHECK(tokenizer.id("\n"));
  CHECK(tokenizer.encode("\t") == std::vector<int>{tokenizer.id("<0x09>").value()});
}

TEST_CASE("long documents are split and never skipped") {
  std::string spaced, unspaced;
  for (int i = 0; i < 300; ++i) spaced += "miller baker flour ";
  for (int i = 0; i < 300; ++i) unspaced += "粉屋";
  TokenizerTraining training = settings(292);
  training.max_sentence_length = 13;  // four Japanese characters and one byte
  const Tokenizer tokenizer = tokenizer_of(train_sentencepiece(training, reader({spaced, unspaced})));
  CHECK(tokenizer.id("▁baker"));
  CHECK(tokenizer.id("粉屋"));
  // U+2585 makes SentencePiece skip a sentence; here only the character is removed.
  const Tokenizer reserved = tokenizer_of(train_sentencepiece(settings(264), reader({"ab ▅ab▅ab ab ▅"})));
  CHECK(reserved.id("ab").has_value());
}

TEST_CASE("special tokens in the text train no pieces") {
  TokenizerTraining training = settings(303);
  training.special_tokens = {"<|eot_id|>", "<|eot|>"};
  std::vector<std::string> chats;
  for (int i = 0; i < 50; ++i) chats.push_back("miller<|eot_id|>flour<|eot|>\n\nsacks<|endoftext|>of<|eot_id|>");
  const SentencePieceModel model = parse_sentencepiece_model(train_sentencepiece(training, reader(chats)), "m");
  bool learned = false;
  for (const auto& piece : model.pieces) {
    if (piece.type != SentencePieceModel::Type::normal) continue;
    CAPTURE(piece.text);
    CHECK(piece.text.find_first_of("<|_>") == std::string::npos);
    learned = learned || piece.text == "miller";
  }
  CHECK(learned);
  // A token is removed as a whole even where the text would also be split for its length.
  training.max_sentence_length = 10;
  training.vocab_size = 290;
  for (const auto& piece : parse_sentencepiece_model(train_sentencepiece(training, reader(chats)), "m").pieces)
    if (piece.type == SentencePieceModel::Type::normal) CHECK(piece.text.find('|') == std::string::npos);
}

TEST_CASE("no piece joins the line breaks after a header to what follows") {
  TokenizerTraining training = settings(280);
  training.chat_tokens = true;
  std::vector<std::string> chats;
  for (int i = 0; i < 50; ++i) chats.push_back("<|end_header_id|>\n\n1234<|eot_id|>");
  const Tokenizer tokenizer = tokenizer_of(train_sentencepiece(training, reader(chats)));
  CHECK(tokenizer.encode("\n\n1234") == std::vector<int>{*tokenizer.id("\n\n"), *tokenizer.id("1234")});
}

TEST_CASE("a tokenizer with the tokens of chats carries their template, another does not") {
  TokenizerTraining training = settings(420);
  CHECK(!tokenizer_config_json(parse_sentencepiece_model(train(training), "m"), 10).contains("chat_template"));
  training.chat_tokens = true;
  const Json config = tokenizer_config_json(parse_sentencepiece_model(train(training), "m"), 10);
  CHECK(
      config["chat_template"] ==
      "{{ '<|begin_of_text|>' }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + "
      "'<|end_header_id|>\\n\\n' + message['content'] + '<|eot_id|>' }}{% endfor %}"
      "{% if add_generation_prompt %}{{ '<|start_header_id|>' + 'assistant' + '<|end_header_id|>\\n\\n' }}{% endif %}");
}

TEST_CASE("the same text gives the same files") {
  const test::TemporaryFolder folder;
  const TokenizerTraining training = settings(400);
  const std::string model = train(training);
  CHECK(model == train(training));
  write_tokenizer_files(folder / "new" / "er", model, "m");
  CHECK(read_file(folder.path() / "new" / "er" / "tokenizer.model") == model);
  const Tokenizer tokenizer = Tokenizer::load(folder.path() / "new" / "er");
  CHECK(tokenizer.vocab_size() == 400);
  CHECK(tokenizer.eos_id() == 2);
  CHECK(tokenizer.pad_id() == 0);
  CHECK(tokenizer.unk_id() == 1);
  const Json config = read_json_file(folder.path() / "new" / "er" / "tokenizer_config.json");
  CHECK(config["tokenizer_class"] == "PreTrainedTokenizerFast");
  CHECK(config["clean_up_tokenization_spaces"] == false);
  CHECK(config["padding_side"] == "left");
  CHECK(config.contains("additional_special_tokens"));
  CHECK(!config.contains("bos_token"));
  write_file(folder / "file", "x");
  CHECK_ERROR(write_tokenizer_files(folder / "file", model, "m"), "file");
}

TEST_CASE("settings and text that cannot be are errors that say what to do") {
  CHECK_ERROR(train(settings(100000)), "vocab_size 100000 is too large", "the largest possible is ");
  CHECK_ERROR(train(settings(262)), "too small", "need");
  CHECK_ERROR(train(settings(100)), "vocab_size is 100");
  CHECK_ERROR(train(settings(400, "word")), "model_type", "word");
  CHECK_ERROR(train_sentencepiece(settings(400), reader({})), "no text");
  CHECK_ERROR(train_sentencepiece(settings(400), reader({"", ""})), "no text");
  CHECK_ERROR(train_sentencepiece(settings(400), reader({std::string("\0\t\xFF", 3)})), "vocab_size 400");
  TokenizerTraining training = settings(400);
  training.character_coverage = 0.5;
  CHECK_ERROR(train(training), "character_coverage");
  training = settings(400);
  training.max_sentence_length = 3;
  CHECK_ERROR(train(training), "max_sentence_length");
  training = settings(400);
  training.num_threads = 0;
  CHECK_ERROR(train(training), "num_threads");
  for (const std::string token : {"", "a b", "<0x41>", "\xFF", "a\nb"}) {
    training = settings(400);
    training.special_tokens = {token};
    CHECK_ERROR(train(training), "special_tokens");
  }
  CHECK_THROWS_WITH_AS(train_sentencepiece(settings(400), [](std::string&) -> bool { throw std::logic_error("disk"); }),
                       "disk", std::logic_error);
}

TEST_CASE("the largest possible vocabulary that the error names works") {
  const std::string message = test::error_of([] { train(settings(100000)); });
  const std::string mark = "the largest possible is ";
  const int largest = std::stoi(message.substr(message.find(mark) + mark.size()));
  CHECK(parse_sentencepiece_model(train(settings(largest)), "m").pieces.size() == static_cast<std::size_t>(largest));
}

TEST_CASE("damaged SentencePiece models are errors") {
  const std::string model = train(settings(400));
  CHECK_ERROR(parse_sentencepiece_model("", "m.model"), "m.model", "no pieces");
  CHECK_ERROR(parse_sentencepiece_model("{\"json\": 1}", "m.model"), "m.model", "not a SentencePiece model");
  for (std::size_t size = 1; size < model.size(); size += 7) {
    try {
      (void)tokenizer_json(parse_sentencepiece_model(std::string_view(model).substr(0, size), "m.model"), "m.model");
    } catch (const Error& error) {
      CHECK(std::string(error.what()).starts_with("m.model: "));
    }
  }
  std::string broken = model;
  for (std::size_t i = 0; i < broken.size(); i += 3) {
    const char before = broken[i];
    broken[i] = static_cast<char>(before ^ 0x55);
    try {
      (void)parse_sentencepiece_model(broken, "m.model");
    } catch (const Error&) {
    }
    broken[i] = before;
  }
}
