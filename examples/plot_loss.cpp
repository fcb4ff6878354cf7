// Plots the losses of a training run: a chart in the terminal and an SVG file.

#include <cstdio>
#include <string>

#include "moderngpt2/cli/loss_picture.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/io/file.hpp"

namespace {

int plot_loss(int argc, char** argv) {
  std::string metrics_file = "output_dir/metrics.jsonl", output_path, title = "Loss by training step";
  moderngpt2::Options options("plot_loss",
                              "Plots the losses of a training run in the terminal and, optionally, as an SVG file.");
  options.add("metrics_file", metrics_file, "metrics.jsonl of a training run.").metavar("FILE");
  options.add("output_path", output_path, "SVG file to write.").metavar("FILE").default_text("none");
  options.add("title", title, "Title of the SVG.");
  options.example("--metrics_file output_dir/metrics.jsonl", "Plot in the terminal");
  options.example("--metrics_file output_dir/metrics.jsonl --output_path loss.svg --title 'My model'",
                  "Also write an SVG file");
  options.parse(argc, argv);

  const moderngpt2::LossCurve curve = moderngpt2::read_loss_curve(metrics_file);
  if (!output_path.empty()) moderngpt2::write_file(output_path, moderngpt2::loss_svg(curve, title));
  std::fputs(moderngpt2::loss_chart(curve).c_str(), stdout);
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, plot_loss); }
