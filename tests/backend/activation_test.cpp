#include <algorithm>
#include <complex>
#include <cstddef>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "backend/user_activations.hpp"
#include "io/expect_error.hpp"
#include "moderngpt2/backend/activation.hpp"
#include "moderngpt2/backend/register_activation.hpp"
#include "moderngpt2/backend/with_activation.hpp"

using namespace moderngpt2;

namespace {

template <int n>
struct Numbered : test::Snake {
  static constexpr char name[] = {'n', char('a' + n), '\0'};
};
struct TakenAlias : test::Snake {
  static constexpr const char* name = "swish";  // an alias
};
struct Nameless : test::Snake {
  static constexpr const char* name = "";
};
struct TakenDynamic : test::Snake {
  static constexpr const char* name = "dynamic";
};
struct AnotherStarRelu : test::Snake {
  static constexpr const char* name = "star_relu";
};

struct WithState : test::Snake {
  float slope = 1;
};
struct ReturnsValue {
  static constexpr const char* name = "returns_value";
  template <class T>
  static T at(T x) {
    return x;
  }
};

}  // namespace

static_assert(ActivationFor<test::StarRelu, float> && ActivationFor<test::StarRelu, std::complex<double>>);
static_assert(!ActivationFor<WithState, float> && !ActivationFor<ReturnsValue, float> && !ActivationFor<int, float>);
static_assert(!ActivationFor<Activation, float> && ActivationChoice<Activation, float>);
static_assert(activation_name(Activation::silu) == "silu" && *activation_from_name("swish") == Activation::silu);

TEST_CASE("a registered activation has a name and a value, whatever the number of calls") {
  const Activation star_relu = register_activation<test::StarRelu>(), snake = register_activation<test::Snake>();
  CHECK(star_relu != snake);
  CHECK(is_registered(star_relu));
  CHECK_FALSE(is_registered(Activation::sigmoid));
  CHECK_FALSE(is_registered(Activation::dynamic));
  CHECK(register_activation<test::StarRelu>() == star_relu);
  CHECK(activation_name(star_relu) == "star_relu");
  CHECK(activation_from_name("star_relu") == star_relu);
  CHECK(activation_from_name("snake") == snake);
  CHECK_FALSE(activation_from_name("star_rel"));
  const auto words = words_of(Activation());
  CHECK(words.front().first == "gelu_pytorch_tanh");
  CHECK(std::count(words.begin(), words.end(), std::pair(std::string_view("star_relu"), star_relu)) == 1);
  CHECK(test::contains(activation_names(), "sigmoid, "));
  CHECK(test::contains(activation_names(), "star_relu"));

  bool called = false;
  with_activation(star_relu, [&]<Activation A>() { called = true; });
  CHECK_FALSE(called);
}

TEST_CASE("a registered activation computes its functor's formula in every scalar") {
  const Activation a = register_activation<test::StarRelu>();
  CHECK(activate(a, 2.0).value == doctest::Approx(4 * 0.8944 - 0.4472));
  CHECK(activate(a, -2.0).value == doctest::Approx(-0.4472));
  CHECK(activate(a, 2.0f).slope == doctest::Approx(2 * 1.7888));
  const double h = 1e-30;
  for (const double x : {-1.5, 0.25, 3.0}) {
    CHECK(activate(a, std::complex<double>(x, h)).value.imag() / h == doctest::Approx(activate(a, x).slope));
    CHECK(activate(test::StarRelu(), x).value == activate(a, x).value);
  }
}

TEST_CASE("names that mean something else are refused") {
  register_activation<test::StarRelu>();
  CHECK_ERROR(register_activation<AnotherStarRelu>(), "another functor is registered as \"star_relu\"");
  CHECK_ERROR(register_activation<TakenAlias>(), "\"swish\" is taken");
  CHECK_ERROR(register_activation<Nameless>(), "\"\" is taken");
  CHECK_ERROR(register_activation<TakenDynamic>(), "\"dynamic\" is taken");
}

TEST_CASE("a value that is not registered is an Error of its operations") {
  const auto a = Activation(120);
  CHECK(activation_name(a) == "dynamic");
  CHECK_ERROR(activate(a, 1.0), "activation 120 is not registered", "register_activation");
  CHECK_ERROR(activate(Activation::dynamic, 1.0), "is not registered");
  for (const int threads : {1, 2}) {
    cpu::Backend b(threads);
    std::vector<float> numbers(300);
    const Rows<float> h(numbers.data(), 100, 1), gate_up(numbers.data() + 100, 100, 2);
    CHECK_ERROR(gated_activation(b, h, gate_up, a), "activation 120 is not registered");
    CHECK_ERROR(gated_activation_backward(b, gate_up, h, gate_up, a), "activation 120 is not registered");
  }
}

TEST_CASE("threads register and look up at once") {
  std::vector<std::vector<Activation>> values(8);
  std::vector<std::thread> threads;
  for (std::vector<Activation>& mine : values)
    threads.emplace_back([&mine] {
      [&]<int... n>(std::integer_sequence<int, n...>) {
        (mine.push_back(register_activation<Numbered<n>>()), ...);
        (mine.push_back(activation_from_name(Numbered<n>::name).value_or(Activation::dynamic)), ...);
      }
      (std::make_integer_sequence<int, 16>());
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<Activation>& mine : values) CHECK(mine == values[0]);
  std::vector<Activation> distinct(values[0].begin(), values[0].begin() + 16);
  CHECK(std::equal(distinct.begin(), distinct.end(), values[0].begin() + 16));
  std::sort(distinct.begin(), distinct.end());
  CHECK(std::unique(distinct.begin(), distinct.end()) == distinct.end());
}
