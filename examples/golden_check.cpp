/// Runs golden cases (folders with config.json, model.safetensors, case.json, expected.safetensors) and compares the
/// results with the expected tensors.

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "golden_check/gpu.hpp"
#include "moderngpt2/backend/reference.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/model/dispatch.hpp"
#include "moderngpt2/testing/golden.hpp"
#include "moderngpt2/testing/tokenizer_case.hpp"

using namespace moderngpt2;

// Defined in golden_check/bf16.cpp.
extern template golden::Results golden::run<any_shape, cpu::Backend, Bf16>(const golden::Case&, cpu::Backend);

#ifdef MODERNGPT2_HAVE_SENTENCEPIECE
#include "moderngpt2/tokenizer/formats/sentencepiece.hpp"  // tokenizer.model
#endif

namespace {

enum class BackendName { cpu, reference, cuda, simulated };
enum class ShapeKind { fixed, dynamic };

/// Shapes of this project's cases, compiled in for --shape static.
constexpr ModelShape case_shape(int layers, int embd, int heads, int kv, int dim, int inner,
                                Activation activation = Activation::gelu_tanh, Toggle bias = Toggle::off,
                                Toggle tied = Toggle::on) {
  return {layers, embd, heads, kv, dim, inner, activation, bias, tied};
}
constexpr ModelShape mha = case_shape(2, 32, 4, 4, 8, 128), gqa = case_shape(2, 48, 6, 2, 8, 80),
                     wide = case_shape(1, 128, 2, 1, 64, 96), long_rows = case_shape(2, 64, 2, 2, 32, 96),
                     mqa = case_shape(2, 32, 4, 1, 8, 128, Activation::silu, Toggle::on),
                     padded = case_shape(2, 32, 4, 2, 8, 128), relu = case_shape(1, 32, 4, 4, 8, 128, Activation::relu),
                     untied = case_shape(3, 32, 2, 2, 16, 128, Activation::gelu, Toggle::off, Toggle::off),
                     windows = case_shape(3, 16, 4, 2, 6, 32);

/// Runs the static language model of the case's shape, if one is compiled in.
template <class Precision, ModelShape... Shapes>
bool run_static(const golden::Case& c, auto make_backend, golden::Results& out) {
  using Backend = decltype(make_backend());
  const auto run_one = [&]<ModelShape S>() {
    out = golden::run_language_model<CausalLM<S, Backend, Precision>>(c, make_backend());
    return true;
  };
  return ((matches<Shapes>(c.config.config) && run_one.template operator()<Shapes>()) || ...);
}

template <class Precision>
golden::Results run(const golden::Case& c, ShapeKind kind, auto make_backend, std::string& shape_used) {
  using Backend = decltype(make_backend());
  golden::Results out;
  shape_used = "static";
  if (kind == ShapeKind::fixed) {
    const bool is_lm = c.config.architecture == architectures[0];
    if (!is_lm && matches<mha>(c.config.config)) return golden::run<mha, Backend, Precision>(c, make_backend());
    if (is_lm &&
        run_static<Precision, mha, gqa, wide, long_rows, mqa, padded, relu, untied, windows>(c, make_backend, out))
      return out;
  }
  shape_used = kind == ShapeKind::fixed ? "dynamic, since no static model of this shape is compiled in" : "dynamic";
  return golden::run<any_shape, Backend, Precision>(c, make_backend());
}

/// Runs a case with the backend, precision and shape of the flags. Sets `shape_used` to the kind of shape.
golden::Results run(const golden::Case& c, BackendName backend, PrecisionName precision, ShapeKind shape, int threads,
                    std::string& shape_used) {
  if (backend == BackendName::cuda || backend == BackendName::simulated) {
    shape_used = std::string(precision_name(precision)) + ", dynamic";
    return run_on_gpu(c, precision, backend == BackendName::simulated);
  }
  if (needs_gpu(precision)) throw UsageError("--precision {} needs --backend cuda", precision_name(precision));
  if (backend == BackendName::reference)
    return run<Exact<double>>(
        c, shape, [] { return reference::Backend(); }, shape_used);
  if (precision == PrecisionName::fp32)
    return run<Fp32>(
        c, shape, [threads] { return cpu::Backend(threads); }, shape_used);
  shape_used = "bf16, dynamic";
  return golden::run<any_shape, cpu::Backend, Bf16>(c, cpu::Backend(threads));
}

/// Checks a case of a tokenizer and prints the results. Returns whether it passed.
bool check_tokenizer(const std::filesystem::path& folder) {
  fmt::print("{} (tokenizer)\n", folder.string());
  bool passed = true;
  for (const golden::TokenizerCheck& check : golden::check_tokenizer(folder)) {
    fmt::print("  {} {}: {} of {} texts differ{}\n", check.different == 0 ? "ok  " : "FAIL", check.what,
               check.different, check.texts, check.different == 0 ? "" : ", such as " + excerpt(check.example));
    passed = passed && check.different == 0;
  }
  return passed;
}

int program(int argc, char** argv) {
  BackendName backend = BackendName::cpu;
  PrecisionName precision = PrecisionName::fp32;
  ShapeKind shape = ShapeKind::dynamic;
  int threads = available_threads();
  std::vector<std::filesystem::path> folders;
  Options options("golden_check",
                  "Runs golden cases, of models and of tokenizers, and compares the results with the expected ones.");
  options.add_choice("backend", backend,
                     {{"cpu", BackendName::cpu},
                      {"reference", BackendName::reference},
                      {"cuda", BackendName::cuda},
                      {"cuda-simulated", BackendName::simulated}},
                     "Backend: the CPU, plain loops in double, a GPU, or the simulated GPU of the tests.");
  options.add("precision", precision,
              "Number format. All but fp32 have wider limits and dynamic shapes only; tf32 and fp16 need a GPU.");
  options.add_choice("shape", shape, {{"static", ShapeKind::fixed}, {"dynamic", ShapeKind::dynamic}},
                     "Sizes known at compile time (for the shapes that are compiled in), or read from config.json.");
  options.add("threads", threads, "Threads of the CPU backend.").at_least(1).default_text("all cores");
  options.positional("DIR", folders);
  options.example("tests/data/golden/*/", "Check all cases of the project");
  options.example("--backend reference --shape static tests/data/golden/mha",
                  "Check one case in plain loops and double precision");
  options.exit_status("1", "a case failed, or an error");
  options.parse(argc, argv);
  if (folders.empty()) throw UsageError("name the folders of the cases to check");

  int failed = 0;
  for (const auto& folder : folders) {
    if (golden::is_tokenizer_case(folder)) {
      failed += !check_tokenizer(folder);
      continue;
    }
    const golden::Case c(folder);
    std::string shape_used;
    const golden::Results results = run(c, backend, precision, shape, threads, shape_used);
    const golden::Limits& limits =
        golden::limits_of(backend == BackendName::reference ? PrecisionName::fp32 : precision);
    fmt::print("{} ({}, {})\n", folder.string(), c.config.architecture, shape_used);
    bool passed = true;
    for (const golden::Comparison& one : golden::compare(c, results, limits)) {
      fmt::print("  {} {}: worst error {:.3g}, limit {:.3g}{}\n", one.passed() ? "ok  " : "FAIL", one.what, one.worst,
                 one.limit, one.where == one.what ? "" : " (" + one.where + ")");
      passed = passed && one.passed();
    }
    failed += !passed;
  }
  fmt::print("{} passed, {} failed\n", folders.size() - std::size_t(failed), failed);
  return failed > 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
