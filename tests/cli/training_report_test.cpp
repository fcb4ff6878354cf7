#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/cli/training_flags.hpp"
#include "moderngpt2/cli/training_progress.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;

namespace {

std::size_t occurrences(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != text.npos; at += part.size()) ++found;
  return found;
}

RunDescription description(const std::filesystem::path& folder) {
  return {folder, "settings: a < b\n", "memory\n", Json{{"n_embd", 16}, {"name", "<x>"}}};
}

}  // namespace

TEST_CASE("a report is one page with curves, samples and settings, all text escaped") {
  test::TemporaryFolder folder;
  std::string metrics, samples;
  for (int step = 1; step <= 60; ++step)
    metrics += Json{{"step", step},
                    {"epoch", step / 60.0},
                    {"loss", step == 7 ? Json() : Json(3.0 / step)},
                    {"learning_rate", 1e-4 * step},
                    {"grad_norm", 1.0},
                    {"tokens_per_second", 1000.0 + step}}
                   .dump() +
               "\n";
  metrics += "{\"step\":60,\"eval_loss\":0.5,\"eval_perplexity\":1.6487}\n{\"step\":61,\"lo";
  for (int i = 1; i <= 200; ++i)
    samples += Json{{"step", i}, {"prompt", "<b>"}, {"completion", "a & b\nc"}}.dump() + "\n";
  write_file(folder / "metrics.jsonl", metrics);
  write_file(folder / "samples.jsonl", samples);
  const TrainingReport report(description(folder.path()), "./train --prompt '<|x|>'");
  report.write();
  const std::string page = read_file(folder / "report.html");
  CHECK(page.starts_with("<!DOCTYPE html>"));
  CHECK(page.ends_with("</html>\n"));
  CHECK(occurrences(page, "<svg ") == 4);
  CHECK(occurrences(page, "</svg>") == 4);
  CHECK(occurrences(page, "<div class='sample'>") == 110);
  CHECK(test::contains(page, "step 60, epoch 1.00, loss 0.0500; evaluation at step 60: loss 0.5000"));
  CHECK(test::contains(page, "<b>&lt;b&gt;</b>a &amp; b\nc</div>"));
  CHECK(test::contains(page, "settings: a &lt; b"));
  CHECK(test::contains(page, "'&lt;|x|&gt;'"));
  CHECK(test::contains(page, "\"n_embd\": 16"));
  CHECK(test::contains(page, "processor: "));
  CHECK_FALSE(test::contains(page, "src="));  // needs no network
  CHECK_FALSE(test::contains(page, "href="));
  CHECK_FALSE(test::contains(page, "<script"));
}

TEST_CASE("a report of nothing yet, and one that cannot be written") {
  test::TemporaryFolder folder;
  TrainingProgress progress("train");
  const TrainingHooks hooks = progress.hooks();
  hooks.on_save(folder.path());  // before the start: nothing to write
  hooks.on_start(description(folder.path()));
  hooks.on_save(folder.path());
  CHECK(test::contains(read_file(folder / "report.html"), "no line in the log yet"));
  write_file(folder / "metrics.jsonl", "{\"step\":\"x\",\"loss\":1}\n[1]\n");
  hooks.on_save(folder.path());  // tells what is wrong, and ends nothing
  CHECK(test::contains(read_file(folder / "report.html"), "no line in the log yet"));
}

TEST_CASE("flags that mean nothing here are taken with a note; a device that is not there is refused") {
  Options options("train", "Trains.");
  add_ignored_training_flags(options);
  options.parse({"--torch_compile", "--torch_compile_mode", "max-autotune", "--streaming", "--dataset_cache_dir=x"});
  CHECK(options.notes().size() == 4);
  CHECK(test::contains(options.notes()[0], "--torch_compile: "));
  CHECK_FALSE(test::contains(options.help(), "torch_compile"));
  CHECK_ERROR(throw no_cuda("cuda:0"), "without CUDA", "--device cpu");
  CHECK_FALSE(gpu_number("cpu"));
  CHECK(gpu_number("cuda") == 0);
  CHECK(gpu_number("cuda:12") == 12);
  for (const char* wrong : {"cuda:", "cuda:-1", "cuda:1x", "cuda:x", "gpu"}) CHECK_ERROR(gpu_number(wrong), "cuda:N");
}
