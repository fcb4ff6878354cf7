#include <cstdio>
#include <map>
#include <string>

#include <moderngpt2/moderngpt2.hpp>

using namespace moderngpt2;

int main() {
  const auto model = load_model<CausalLM<any_shape>>("my_model");
  const Tokenizer tokenizer = Tokenizer::load("my_model");
  BatchGenerator texts(model, {.slots = 4, .slot_tokens = 48});  // up to 4 texts of up to 48 tokens in one pass
  std::printf("KV cache: %zu bytes\n", texts.bytes());

  std::map<RequestId, std::string> prompts;
  const auto add = [&](const std::string& prompt, int length) {
    const RequestId id =
        texts.add({tokenizer.encode_prompt(prompt), {.max_new_tokens = length}},
                  {.on_done = [&](RequestId done, GenerationResult result) {
                    std::printf("%s%s%s\n", prompts[done].c_str(), tokenizer.decode(result.tokens, true).c_str(),
                                result.stop == StopReason::cancelled ? " (cancelled)" : "");
                  }});
    prompts[id] = prompt;
    return id;
  };
  const RequestId first = add("You may", 40);
  for (int i = 0; i < 6; ++i) add("The", 4 + i);  // without a free slot they wait
  for (int step = 0; texts.step(); ++step) {      // one token of each running text
    if (step == 5) add("License", 8);             // requests may come at any time, from any thread
    if (step == 10) texts.cancel(first);
  }
  return 0;
}
