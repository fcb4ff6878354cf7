// Runs the golden cases on the GPU, for run_gpu.sh: golden_check without the models for the CPU, which take minutes to
// compile.
//
//   golden fp32|tf32|bf16|fp16 DIR...

#include <string_view>

#include <fmt/format.h>

#include "../../../examples/golden_check/gpu.hpp"
#include "moderngpt2/core/error.hpp"

using namespace moderngpt2;

namespace {

int failures_of(const golden::Case& c, PrecisionName precision) {
  int failed = 0;
  for (const auto& one : golden::compare(c, run_on_gpu(c, precision, false), golden::limits_of(precision))) {
    fmt::print("{} {} {} {}: worst error {:.3g}, limit {:.3g}\n", one.passed() ? "ok  " : "FAIL",
               precision_name(precision), c.folder.string(), one.what, one.worst, one.limit);
    failed += !one.passed();
  }
  return failed;
}

}  // namespace

int main(int argc, char** argv) try {
  for (const PrecisionName precision :
       {PrecisionName::fp32, PrecisionName::tf32, PrecisionName::bf16, PrecisionName::fp16}) {
    if (argc < 3 || std::string_view(argv[1]) != precision_name(precision)) continue;
    int failed = 0;
    for (int i = 2; i < argc; ++i) failed += failures_of(golden::Case(argv[i]), precision);
    fmt::print("{}: {} cases, {} comparisons failed\n", argv[1], argc - 2, failed);
    return failed > 0 ? 1 : 0;
  }
  fmt::print("golden fp32|tf32|bf16|fp16 DIR...\n");
  return 2;
} catch (const Error& e) {
  fmt::print("FAIL {}\n", e.what());
  return 1;
}
