// Accepted text must be equal after writing and parsing. Other text must give an Error of one line.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "moderngpt2/io/json.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moderngpt2;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const Json json = parse_json(text, "fuzz.json");
    if (parse_json(json_text(json, "fuzz.json"), "fuzz.json") != json) std::abort();
  } catch (const Error& error) {
    if (std::strchr(error.what(), '\n')) std::abort();
  }
  return 0;
}
