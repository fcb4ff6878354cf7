#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#if !__has_include(<nlohmann/json.hpp>)
#error "moderngpt2: <nlohmann/json.hpp> not found: link moderngpt2::moderngpt2"
#endif
#include <nlohmann/json.hpp>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/json_scanner.hpp"

namespace moderngpt2 {

namespace detail {

/// SAX handler that extracts one string from a JSON object. Validates the rest of the object.
class JsonFieldHandler {
 public:
  JsonFieldHandler(std::string_view field, std::string& out) : field_(field), out_(out) {}

  bool null() { return other(); }
  bool boolean(bool) { return other(); }
  bool number_integer(std::int64_t) { return other(); }
  bool number_unsigned(std::uint64_t) { return other(); }
  bool number_float(double, const std::string&) { return other(); }
  bool binary(nlohmann::json::binary_t&) { return other(); }
  bool string(std::string& value) {
    if (!wanted_) return other();
    wanted_ = false;
    found_ = true;
    out_.swap(value);
    return true;
  }
  bool key(std::string& name) {
    wanted_ = depth_ == 1 && name == field_;
    if (wanted_ && found_) return fail("the field '" + std::string(field_) + "' occurs twice");
    return true;
  }
  bool start_object(std::size_t) { return wanted_ ? other() : (++depth_, true); }
  bool end_object() { return --depth_, true; }
  bool start_array(std::size_t) { return depth_ == 0 || wanted_ ? other() : (++depth_, true); }
  bool end_array() { return --depth_, true; }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) {
    return fail(fmt::format("broken JSON at byte {} of the line", position));
  }

  bool found() const { return found_; }
  const std::string& problem() const { return problem_; }

 private:
  bool other() {
    if (depth_ == 0) return fail("not a JSON object");
    if (wanted_) return fail("the field '" + std::string(field_) + "' is not a string");
    return true;
  }
  bool fail(std::string why) {
    problem_ = std::move(why);
    return false;
  }

  std::string_view field_;
  std::string& out_;
  std::int64_t depth_ = 0;
  bool wanted_ = false, found_ = false;
  std::string problem_;
};

}  // namespace detail

/// Extracts the string under `field` from the JSON object `line` into `out`. Returns an error description, empty on
/// success. Does not use simdjson, because Arrow's libparquet exports another version of it under equal names.
inline std::string read_json_field(std::string_view line, std::string_view field, std::string& out) {
  if (detail::JsonFieldScanner(line, field, out).scan()) return "";
  out.clear();
  detail::JsonFieldHandler handler(field, out);
  nlohmann::json::sax_parse(line.begin(), line.end(), &handler);
  if (!handler.problem().empty()) return handler.problem();
  return handler.found() ? "" : "no field '" + std::string(field) + "'";
}

}  // namespace moderngpt2
