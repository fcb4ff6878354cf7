#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/run/model_settings.hpp"

namespace moderngpt2 {

/// Adds a flag for each row of describe(Config) with a section; parsing stores given values in `fields`.
inline void add_model_flags(Options& options, ModelFields& fields) {
  Config standard;
  describe(standard, [&]<class T>(T&, Field field, const InConfig&) {
    field.aliases = {};  // names of keys, not of flags
    using Inner = typename detail::OptionalTraits<T>::value_type;
    using One = std::conditional_t<std::is_enum_v<Inner>, std::string, Inner>;  // parse_config() checks the word
    using Value = std::conditional_t<std::is_same_v<T, LayerTypes>, std::vector<std::string>, One>;
    if constexpr (!std::is_same_v<T, BlocksConfig>)
      if (*field.section)
        options.add<Value>(field, [&fields, name = field.name](const Value& value) { fields[name] = value; });
  });
}

}  // namespace moderngpt2
