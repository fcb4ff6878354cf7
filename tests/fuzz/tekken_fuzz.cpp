// tekken.json, and a text to encode.
#include "json_mutator.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  const std::string vocabulary = R"("vocab": [{"rank": 0, "token_bytes": "YQ==", "token_str": "a"},
{"rank": 1, "token_bytes": "Yg==", "token_str": "b"}, {"rank": 2, "token_bytes": "YWI=", "token_str": null}])";
  seeds.add(join({R"({"config": {"pattern": "\\w+|\\W", "num_vocab_tokens": 3, "default_vocab_size": 6,
"default_num_special_tokens": 3, "version": "v3"}, )" +
                      vocabulary + "}",
                  "ab <s> ab"}));
  seeds.add(join({R"({"config": {"pattern": "[^ ]+", "default_vocab_size": 4, "default_num_special_tokens": 2,
"version": "v11"}, "special_tokens": [{"rank": 1, "token_str": "<s>", "is_control": true}], )" +
                      vocabulary + "}",
                  "abab"}));
  seeds.words({"v7", "v13", "special_tokens", "token_str", "token_bytes", "YWJh", separator});
}

void fuzz::run(std::string_view input) {
  const auto parts = split(input, 2);
  const Tokenizer tokenizer = Tokenizer::load(file("tekken.json", parts[0]));
  const std::vector<int> ids = tokenizer.encode(parts[1]);
  for (const int id : ids) (void)tokenizer.token(id);
  (void)tokenizer.decode(ids);
}
