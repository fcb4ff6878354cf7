#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include <moderngpt2/moderngpt2.hpp>

using namespace moderngpt2;

int main() {
  const auto model = load_model<CausalLM<any_shape>>("my_model");
  const Tokenizer tokenizer = Tokenizer::load("my_model");
  Session session(model, 1, 64);  // memory for passes over 1 text of up to 64 tokens
  for (const std::string text :
       {"You may reproduce and distribute copies", "copies distribute and You reproduce may"}) {
    const std::vector<int> ids = tokenizer.encode(text);
    const int n = int(ids.size()), vocabulary = model.config().vocab_size;
    const Pass<float> pass{.batch = 1, .time = n};

    // Mean loss in nats over the n - 1 tokens after the first.
    const double loss = session.loss(ids.data(), {ids.data()}, pass);

    // Log-probability of each token: log_softmax of the logits at the position before it.
    std::vector<float> logits(std::size_t(n) * std::size_t(vocabulary));
    const Rows<float> rows(logits.data(), n, vocabulary);
    session.logits(rows, session.forward(ids.data(), pass));
    double sum = 0;
    for (int t = 1; t < n; ++t) {
      double total = 0;
      for (int v = 0; v < vocabulary; ++v) total += std::exp(rows.row(t - 1)[v]);
      sum += double(rows.row(t - 1)[ids[std::size_t(t)]]) - std::log(total);
    }
    std::printf("perplexity %.2f, log-probability %.2f = %.2f: %s\n", std::exp(loss), sum, -loss * (n - 1),
                text.c_str());
  }
  return 0;
}
