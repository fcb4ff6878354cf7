#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/jinja/evaluator.hpp"
#include "moderngpt2/tokenizer/jinja/parser.hpp"

namespace moderngpt2 {

/// Chat template, with the settings of Transformers (trim_blocks, lstrip_blocks, loop controls, generation
/// blocks, tojson, raise_exception, strftime_now). Differences from Jinja2, each of which throws an Error that names
/// it: no include, import, extends, block and recursive loops; no operator `**`, no `%` on text, no `*arguments`;
/// filters, tests and methods are those that chat templates use. Letters outside ASCII have no case. Also throws for an
/// exception of the template, and for one that takes too many steps, too much text or too deep nesting.
class JinjaTemplate {
 public:
  /// Parses a template.
  explicit JinjaTemplate(std::string_view source);
  std::string render(const Json& variables) const;

 private:
  std::shared_ptr<const detail::JinjaBlock> block_;
};

/// Parses and renders a template.
std::string render_jinja(std::string_view source, const Json& variables);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2 {

MODERNGPT2_INLINE JinjaTemplate::JinjaTemplate(std::string_view source)
    : block_(std::make_shared<const detail::JinjaBlock>(detail::JinjaParser(source).run())) {}

MODERNGPT2_INLINE std::string JinjaTemplate::render(const Json& variables) const {
  return detail::JinjaEvaluator(variables).run(*block_);
}

MODERNGPT2_INLINE std::string render_jinja(std::string_view source, const Json& variables) {
  return JinjaTemplate(source).render(variables);
}

}  // namespace moderngpt2

#endif
