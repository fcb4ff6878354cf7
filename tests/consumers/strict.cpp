// Compiled with all warnings that users may have on, and with the library's headers not a system include: trains and
// generates with a model in fp32 and in bf16.
#include <vector>

#ifdef ALL_HEADERS
#include "all_headers.hpp"
#else
#include "moderngpt2/moderngpt2.hpp"
#endif

using namespace moderngpt2;

template <class Model>
std::vector<int> train_and_generate(const Config& config, const int* ids) {
  Model model(config);
  model.initialize(1);
  auto work = model.workspace(2, 16, Mode::train);
  auto gradients = model.make_gradients();
  model.loss_and_gradients(work, ids, {ids}, gradients, {.batch = 2, .time = 16});
  return generate(model, std::vector<int>{1, 2, 3}, {.max_new_tokens = 8, .do_sample = true}).tokens;
}

template class moderngpt2::Trainer<CausalLM<any_shape>>;
template std::vector<int> train_and_generate<CausalLM<any_shape>>(const Config&, const int*);
template std::vector<int> train_and_generate<CausalLMInBf16>(const Config&, const int*);
