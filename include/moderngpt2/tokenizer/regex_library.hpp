#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/core/utf8.hpp"

#if !__has_include(<pcre2.h>)
#error "moderngpt2: <pcre2.h> not found: link moderngpt2::moderngpt2"
#endif
#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>
#if PCRE2_MAJOR == 10 && PCRE2_MINOR < 40
#error "moderngpt2: PCRE2 is older than 10.40: install libpcre2-dev 10.40 or later"
#endif

namespace moderngpt2::detail {

/// Pattern compiled by PCRE2, to machine code if the JIT supports it.
class RegexCode {
 public:
  /// `pattern` appears in errors, `translated` is compiled. Throws Error if PCRE2 refuses it.
  RegexCode(std::string pattern, std::string translated, std::string where);

  const pcre2_code_8* get() const { return code_.get(); }
  bool is_machine_code() const { return is_machine_code_; }
  const std::string& translated() const { return translated_; }
  [[noreturn]] void fail(std::string_view what) const;

 private:
  std::string pattern_, translated_, where_;
  std::unique_ptr<pcre2_code_8, decltype(&pcre2_code_free_8)> code_{nullptr, &pcre2_code_free_8};
  bool is_machine_code_ = false;
};

/// Memory that matching needs, one for each thread.
struct RegexScratch {
  std::unique_ptr<pcre2_match_context_8, decltype(&pcre2_match_context_free_8)> context{
      pcre2_match_context_create_8(nullptr), &pcre2_match_context_free_8};
  std::unique_ptr<pcre2_match_data_8, decltype(&pcre2_match_data_free_8)> data{pcre2_match_data_create_8(1, nullptr),
                                                                               &pcre2_match_data_free_8};
  std::unique_ptr<pcre2_jit_stack_8, decltype(&pcre2_jit_stack_free_8)> stack{nullptr, &pcre2_jit_stack_free_8};
};

inline RegexScratch& regex_scratch() {
  thread_local RegexScratch scratch;
  return scratch;
}

/// Searches for matches in one text, with limits on steps, stack and processor time.
class RegexMatcher {
 public:
  RegexMatcher(const RegexCode& code, std::size_t size)
      : code_(code),
        scratch_(regex_scratch()),
        seconds_(10 + static_cast<double>(size) * 1e-6),
        steps_(static_cast<std::uint32_t>(std::min<std::size_t>(20'000'000 + size * 8, 4'000'000'000))) {
    if (!scratch_.context || !scratch_.data) code.fail("out of memory for matching");
  }

  /// Finds the first match at or after `text[at]`. Throws Error if that exceeds a limit.
  bool search(std::string_view text, std::size_t at);

  std::size_t begin() const { return pcre2_get_ovector_pointer_8(scratch_.data.get())[0]; }
  std::size_t end() const { return pcre2_get_ovector_pointer_8(scratch_.data.get())[1]; }

 private:
  int match(std::string_view text, std::size_t at, std::size_t last_start);
  void check_time();
  static double thread_seconds() {
    std::timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  }

  const RegexCode& code_;
  RegexScratch& scratch_;
  double seconds_, start_ = -1, last_ = 0;
  std::uint32_t steps_;        // limit for one match
  std::size_t window_ = 1024;  // bytes in which a match may begin, for one call
  unsigned searches_ = 0;
};

#ifndef MODERNGPT2_DECLARE_FILES

MODERNGPT2_INLINE RegexCode::RegexCode(std::string pattern, std::string translated, std::string where)
    : pattern_(std::move(pattern)), translated_(std::move(translated)), where_(std::move(where)) {
  std::array<char, 64> version{};
  if (pcre2_config_8(PCRE2_CONFIG_UNICODE_VERSION, nullptr) <= static_cast<int>(version.size()))
    pcre2_config_8(PCRE2_CONFIG_UNICODE_VERSION, version.data());
  if (std::string_view(version.data()) < "14")
    fail(fmt::format("PCRE2 has version {} of Unicode. Install PCRE2 10.40 or later", version.data()));
  const std::unique_ptr<pcre2_compile_context_8, decltype(&pcre2_compile_context_free_8)> context(
      pcre2_compile_context_create_8(nullptr), &pcre2_compile_context_free_8);
  if (!context) fail("out of memory for compiling");
  pcre2_set_newline_8(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_.reset(pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(translated_.data()), translated_.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_USE_OFFSET_LIMIT, &error, &offset,
                              context.get()));
  if (!code_) {
    std::array<unsigned char, 256> message{};
    pcre2_get_error_message_8(error, message.data(), message.size());
    fail(fmt::format("{}. Correct the pattern in the file", reinterpret_cast<const char*>(message.data())));
  }
  is_machine_code_ = pcre2_jit_compile_8(code_.get(), PCRE2_JIT_COMPLETE) == 0;
}

MODERNGPT2_INLINE void RegexCode::fail(std::string_view what) const {
  throw Error("{}: the regular expression {}: {}.", where_, excerpt(pattern_, 60), what);
}

MODERNGPT2_INLINE void RegexMatcher::check_time() {
  last_ = thread_seconds();
  if (start_ < 0) start_ = last_;
  if (last_ - start_ > seconds_)
    code_.fail(
        "matching takes too long, because the pattern backtracks over long parts of the text. Simplify the "
        "pattern, or remove the text");
}

/// Searches for a match that begins in [at, last_start]. Returns the result of PCRE2.
MODERNGPT2_INLINE int RegexMatcher::match(std::string_view text, std::size_t at, std::size_t last_start) {
  pcre2_set_offset_limit_8(scratch_.context.get(), last_start);
  const auto* subject = reinterpret_cast<PCRE2_SPTR8>(text.data());
  return code_.is_machine_code() ? pcre2_jit_match_8(code_.get(), subject, text.size(), at, PCRE2_NO_UTF_CHECK,
                                                     scratch_.data.get(), scratch_.context.get())
                                 : pcre2_match_8(code_.get(), subject, text.size(), at, PCRE2_NO_UTF_CHECK,
                                                 scratch_.data.get(), scratch_.context.get());
}

MODERNGPT2_INLINE bool RegexMatcher::search(std::string_view text, std::size_t at) {
  constexpr std::size_t stack_size = std::size_t{64} << 20;
  pcre2_set_match_limit_8(scratch_.context.get(), steps_);
  pcre2_set_heap_limit_8(scratch_.context.get(), static_cast<std::uint32_t>(stack_size >> 10));
  if (++searches_ % 256 == 0) check_time();
  while (true) {
    std::size_t last_start = text.size() - at <= window_ ? text.size() : at + window_;
    while (last_start < text.size() && is_utf8_continuation(text[last_start])) --last_start;
    int found = match(text, at, last_start);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT && !scratch_.stack) {
      scratch_.stack.reset(pcre2_jit_stack_create_8(std::size_t{32} << 10, stack_size, nullptr));
      pcre2_jit_stack_assign_8(scratch_.context.get(), nullptr, scratch_.stack.get());
      found = match(text, at, last_start);
    }
    if (found >= 0) return true;
    if (found == PCRE2_ERROR_MATCHLIMIT || found == PCRE2_ERROR_JIT_STACKLIMIT || found == PCRE2_ERROR_HEAPLIMIT ||
        found == PCRE2_ERROR_DEPTHLIMIT)
      code_.fail(
          fmt::format("a match needs more than {}, because the pattern backtracks over a long part of the text. "
                      "Simplify the pattern, or remove the text",
                      found == PCRE2_ERROR_MATCHLIMIT ? fmt::format("{} steps", steps_) : "64 MiB"));
    if (found != PCRE2_ERROR_NOMATCH) {
      std::array<unsigned char, 256> message{};
      pcre2_get_error_message_8(found, message.data(), message.size());
      code_.fail(fmt::format("matching failed ({})", reinterpret_cast<const char*>(message.data())));
    }
    if (last_start == text.size()) return false;
    const double before = start_ < 0 ? thread_seconds() : last_;
    check_time();
    at = last_start;
    if (last_ - before < 0.05)
      window_ *= 2;
    else
      window_ = std::max(window_ / 4, std::size_t{16});
  }
}

#endif  // MODERNGPT2_DECLARE_FILES

}  // namespace moderngpt2::detail
