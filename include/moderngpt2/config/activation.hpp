#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/config/model_shape.hpp"
#include "moderngpt2/core/error.hpp"

// Names of activations: the built-in ones of config/activations.def, and those that a program registers with
// register_activation<A>() (backend/register_activation.hpp). The values of registered ones follow the built-in ones in
// the order of registration, so a value is valid in one process only: files and other ranks get names.
namespace moderngpt2 {

/// Compiled formulas of a registered activation, defined in backend/activation.hpp.
struct ActivationFunctions;

namespace detail {

/// Hugging Face's name of each built-in activation, in the order of their values.
inline constexpr auto built_in_activations = std::to_array<std::pair<std::string_view, Activation>>({
#define MODERNGPT2_ACTIVATION(value, ...) {*std::begin({__VA_ARGS__}), Activation::value},
#include "moderngpt2/config/activations.def"
});

/// Built-in activation with a Hugging Face name or alias; empty for another name.
constexpr std::optional<Activation> built_in_activation(std::string_view name) {
#define MODERNGPT2_ACTIVATION(value, ...)            \
  for (const std::string_view known : {__VA_ARGS__}) \
    if (name == known) return Activation::value;
#include "moderngpt2/config/activations.def"
  return std::nullopt;
}

/// Table of the registered activations of a process. All members may be called from any thread; rows are never removed.
class ActivationRegistry {
 public:
  static constexpr int first = int(built_in_activations.size());
  static constexpr int capacity = std::numeric_limits<signed char>::max() + 1 - first;

  /// Returns the value of `name`, which is new unless `functions` are registered by that name. Both arguments must live
  /// as long as the process. Throws Error if the name has another meaning.
  Activation add(std::string_view name, const ActivationFunctions* functions) {
    if (name.empty() || name == "dynamic" || built_in_activation(name))
      throw Error("register_activation: the name \"{}\" is taken. Choose another name.", name);
    const std::lock_guard lock(mutex_);
    const int count = count_.load(std::memory_order_relaxed);
    for (int i = 0; i < count; ++i)
      if (const Row& row = rows_[std::size_t(i)]; row.name == name) {
        if (row.functions == functions) return Activation(first + i);
        throw Error("register_activation: another functor is registered as \"{}\". Choose another name.", name);
      }
    if (count == capacity) throw Error("register_activation: {} are registered, which is the maximum", capacity);
    rows_[std::size_t(count)] = {name, functions};
    count_.store(count + 1, std::memory_order_release);
    return Activation(first + count);
  }

  int count() const { return count_.load(std::memory_order_acquire); }
  /// Name of a registered value; empty for other values.
  std::string_view name(Activation a) const { return contains(a) ? row(a).name : std::string_view(); }
  /// Formulas of a registered value; null for other values.
  const ActivationFunctions* functions(Activation a) const { return contains(a) ? row(a).functions : nullptr; }
  std::optional<Activation> find(std::string_view name) const {
    for (int i = 0; i < count(); ++i)
      if (rows_[std::size_t(i)].name == name) return Activation(first + i);
    return std::nullopt;
  }

 private:
  struct Row {
    std::string_view name;
    const ActivationFunctions* functions = nullptr;
  };
  bool contains(Activation a) const { return int(a) >= first && int(a) < first + count(); }
  const Row& row(Activation a) const { return rows_[std::size_t(int(a) - first)]; }

  std::array<Row, std::size_t(capacity)> rows_{};
  std::atomic<int> count_{0};
  std::mutex mutex_;  // held by add()
};

inline constinit ActivationRegistry activation_registry;

}  // namespace detail

/// Whether a value is that of a registered activation rather than a built-in one.
constexpr bool is_registered(Activation a) { return int(a) >= detail::ActivationRegistry::first; }

/// Name of each activation, as written to config.json: the built-in ones, then those registered so far.
inline std::vector<std::pair<std::string_view, Activation>> words_of(Activation) {
  std::vector<std::pair<std::string_view, Activation>> words(detail::built_in_activations.begin(),
                                                             detail::built_in_activations.end());
  const int count = detail::activation_registry.count();
  for (int i = 0; i < count; ++i) {
    const auto a = Activation(detail::ActivationRegistry::first + i);
    words.emplace_back(detail::activation_registry.name(a), a);
  }
  return words;
}

/// Name of an activation, as written to config.json; "dynamic" for Activation::dynamic and values without a name.
constexpr std::string_view activation_name(Activation a) {
  for (const auto& [name, value] : detail::built_in_activations)
    if (value == a) return name;
  if (!is_registered(a)) return "dynamic";
  const std::string_view name = detail::activation_registry.name(a);
  return name.empty() ? "dynamic" : name;
}

/// Activation with a Hugging Face name, an alias or a registered name; empty for an unknown name.
constexpr std::optional<Activation> activation_from_name(std::string_view name) {
  if (const auto known = detail::built_in_activation(name)) return known;
  return detail::activation_registry.find(name);
}

/// Names of all activations, separated by commas, for messages.
inline std::string activation_names() {
  std::string names;
  for (const auto& [name, value] : words_of(Activation())) (names += names.empty() ? "" : ", ") += name;
  return names;
}

}  // namespace moderngpt2
