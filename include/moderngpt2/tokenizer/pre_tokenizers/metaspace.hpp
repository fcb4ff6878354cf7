#pragma once

#include <string>
#include <string_view>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/utf8.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/piece.hpp"

namespace moderngpt2::detail {

/// Field that contains exactly one character.
inline std::string read_character(const Component& component, const char* key) {
  const auto text = component.get<std::string>(key);
  if (text.empty() || utf8_length(text[0]) != text.size())
    component.fail("{} is {}, expected one character", key, excerpt(text, 40));
  return text;
}

/// Pre-tokenizer Metaspace: replaces spaces by a visible character, "▁" in most files, which begins the pieces.
class MetaspacePreTokenizer {
 public:
  static constexpr std::string_view type = "Metaspace";
  enum class Prepend { always, first, never };

  explicit MetaspacePreTokenizer(const Component& component)
      : replacement_(read_character(component, "replacement")), split_(component.get_or("split", true)) {
    // str_rep is an old copy of `replacement`, which the package `tokenizers` ignores.
    component.expect({"replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"});
    const auto scheme = component.get_or<std::string>("prepend_scheme", "always");
    if (scheme != "always" && scheme != "first" && scheme != "never")
      component.fail("prepend_scheme is {}, expected always, first or never", excerpt(scheme, 40));
    prepend_ = scheme == "always" ? Prepend::always : scheme == "first" ? Prepend::first : Prepend::never;
    if (!component.get_or("add_prefix_space", true)) {
      if (component.json().contains("prepend_scheme") && prepend_ != Prepend::never)
        component.fail("add_prefix_space is false, but prepend_scheme is {}, expected never", scheme);
      prepend_ = Prepend::never;
    }
  }

  const std::string& replacement() const { return replacement_; }
  Prepend prepend() const { return prepend_; }
  bool split() const { return split_; }

  template <class Emit>
  void operator()(Piece piece, Emit&& emit) const {
    const bool prepends = !piece.text.empty() && piece.text.front() != ' ' && !piece.text.starts_with(replacement_) &&
                          (prepend_ == Prepend::always || (prepend_ == Prepend::first && piece.first));
    std::string replaced;
    if (prepends || piece.text.find(' ') != std::string_view::npos) {
      replace(piece.text, prepends, replaced);
      piece.text = replaced;
    }
    if (!split_) {
      if (!piece.text.empty()) emit(piece);
      return;
    }
    const std::size_t at_offset_0 = prepends ? replacement_.size() : 0;
    for (std::size_t at = 0; at < piece.text.size();) {
      const auto next = std::min(piece.text.find(replacement_, at + 1), piece.text.size());
      emit(Piece{piece.text.substr(at, next - at), piece.first && at <= at_offset_0});
      at = next;
    }
  }

 private:
  void replace(std::string_view text, bool prepends, std::string& result) const {
    result.reserve(text.size() + text.size() / 2 + replacement_.size());
    if (prepends) result = replacement_;
    for (std::size_t at = 0; at < text.size();) {
      const auto space = std::min(text.find(' ', at), text.size());
      result.append(text.substr(at, space - at));
      if (space < text.size()) result.append(replacement_);
      at = space + 1;
    }
  }

  std::string replacement_;
  Prepend prepend_ = Prepend::always;
  bool split_;
};

}  // namespace moderngpt2::detail
