#include <cstdio>
#include <vector>

#include <moderngpt2/moderngpt2.hpp>
#include <moderngpt2/testing/test_layer.hpp>

using namespace moderngpt2;

/// 0.8944 relu(x)^2 - 0.4472 (arXiv:2210.13452).
struct StarRelu {
  static constexpr const char* name = "star_relu";  // in config.json

  template <class T>
  MODERNGPT2_HOST_DEVICE static ActivationValue<T> at(T x) {  // value and derivative
    using R = real_t<T>;
    const T kept = real_part(x) > 0 ? x : T(0);
    return {R(0.8944) * kept * kept - R(0.4472), R(1.7888) * kept};
  }
};

int main() {
  Config config = size_config(1, 32, 2, 64);
  config.activation = register_activation<StarRelu>();
  const LayerReport report = test_layer(GatedMlp<dynamic, dynamic>(config), {.in = 32, .out = 32});
  std::printf("gradient check: %s\n", report.text().c_str());

  CausalLM<any_shape> model(config);
  model.initialize(42);
  save_model("my_activation", model);
  const auto again = load_model<CausalLM<any_shape>>("my_activation");
  std::printf("%s\n", std::string(activation_name(again.config().activation)).c_str());
  return report.good() ? 0 : 1;
}
