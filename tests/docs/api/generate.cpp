#include <cstdio>
#include <string>
#include <vector>

#include <moderngpt2/moderngpt2.hpp>

using namespace moderngpt2;

int main() {
  auto model = load_model<CausalLM<any_shape>>("my_model");
  const Tokenizer tokenizer = Tokenizer::load("my_model");
  const GenerationOptions options{.max_new_tokens = 20, .temperature = 0.8, .eos_token_ids = {*tokenizer.eos_id()}};

  // One text.
  const std::vector<int> prompt = tokenizer.encode_prompt("You may");
  const GenerationResult result = generate(model, prompt, options);
  std::printf("You may%s\n", tokenizer.decode(result.tokens, true).c_str());

  // Text as it is generated. A Generator keeps keys and values: a prompt that continues the last text is not computed
  // again.
  Generator generator(model, 64);  // prompt and completion: up to 64 tokens
  StreamDecoder stream(tokenizer);
  generator.generate(prompt, options, [&](int token) {
    std::fputs(stream.put(token).c_str(), stdout);  // whole UTF-8 characters
    return true;                                    // false ends the text
  });
  std::printf("%s\n", stream.finish().c_str());

  // Several texts in one pass.
  std::vector<GenerationRequest> requests;
  for (const char* text : {"License", "You may", "The"}) requests.push_back({tokenizer.encode_prompt(text), options});
  for (const GenerationResult& r : generate_batch(model, requests, 8))
    std::printf("%d prompt tokens, %zu new: %s\n", r.prompt_tokens, r.tokens.size(),
                tokenizer.decode(r.tokens, true).c_str());
  return 0;
}
