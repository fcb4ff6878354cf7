#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include <moderngpt2/moderngpt2.hpp>

using namespace moderngpt2;

int main() {
  const auto model = load_model<CausalLM<any_shape>>("my_model", cpu::Backend(1));  // one core for each thread
  const Tokenizer tokenizer = Tokenizer::load("my_model");
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < texts.size(); ++i)
    threads.emplace_back([&, i] {
      Generator generator(model, 64);  // one for each thread; the model and the tokenizer are shared
      const GenerationOptions options{.max_new_tokens = 20, .seed = i};
      const auto result = generator.generate(tokenizer.encode_prompt("You"), options, [](int) { return true; });
      texts[i] = tokenizer.decode(result.tokens, true);
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) std::printf("You%s\n", text.c_str());
  return 0;
}
