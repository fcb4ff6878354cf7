// SentencePiece .model: an accepted model must give a tokenizer.json that is accepted, with one token per piece.
#include "fuzz.hpp"
#include "moderngpt2/tokenizer/export.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

using namespace moderngpt2;

namespace {

std::string field(int number, std::string_view bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + std::string(bytes);
}

std::string piece(std::string_view text, std::string_view score, int type) {
  return field(1, field(1, text) + "\x15" + std::string(score) + "\x18" + static_cast<char>(type));
}

std::string model(int algorithm) {
  using namespace std::string_view_literals;
  const std::string_view one = "\0\0\x80\xbf"sv, two = "\0\0\0\xc0"sv;
  std::string out = piece("<unk>", "\0\0\0\0"sv, 2) + piece("<s>", one, 3) + piece("</s>", one, 3) +
                    piece("<0x41>", one, 6) + piece("<tag>", one, 4) + piece("ab", one, 1) +
                    piece("\xE2\x96\x81", two, 1) + piece("a", two, 1) + piece("b", two, 1) +
                    piece("\xE2\x96\x81"sv, "\0\0\x40\xc0"sv, 5);
  out += field(2, std::string{"\x18"} + static_cast<char>(algorithm) + "\x98\x02\x01");  // type, byte_fallback
  return out + field(3, field(1, "identity") + std::string("\x18\0\x20\0\x28\x01"sv));
}

}  // namespace

void fuzz::seed(Seeds& seeds) {
  for (const int algorithm : {1, 2}) {
    std::string text = model(algorithm);
    seeds.add(text);
    const std::string last = piece("\xE2\x96\x81", std::string_view("\0\0\x40\xc0", 4), 5);  // the piece that is twice
    seeds.add(text.erase(text.find(last), last.size()));
  }
  using namespace std::string_view_literals;
  seeds.words({"\x15\0\0\xc0\x7f"sv, "\x15\0\0\x80\x7f"sv, "\x15\0\0\x80\xff"sv, "<unk>", "<0x00>",
               "<|start_header_id|>", "\xE2\x96\x81\xE2\x96\x81", "\x18\x04", "\x18\x05"});
}

void fuzz::run(std::string_view input) {
  const SentencePieceModel read = parse_sentencepiece_model(input, "fuzz.model");
  (void)sentencepiece_differences(read);
  const Json json = tokenizer_json(read, "fuzz.model");
  (void)json_text(tokenizer_config_json(read, 1024), "tokenizer_config.json");
  const std::string text = json_text(json, "tokenizer.json");
  const auto tokenizer = accepted([&] { return Tokenizer::parse(text, "tokenizer.json"); });
  if (!tokenizer) fail("the written tokenizer.json is refused");
  if (tokenizer->vocab_size() != static_cast<int>(read.pieces.size())) fail("another number of tokens");
  for (const char* sample : {"a  b ab<tag>abab \xC3\xA9", "A <s> </s> \xF0\x9F\x98\x80"})
    for (const int id : tokenizer->encode(sample)) (void)tokenizer->token(id);
}
