#!/usr/bin/env bash
# Cost of compiler flags and of Eigen instead of oneDNN: time of a training step and of a decoded token, on one thread,
# of a program that only includes headers. Prints a table of each build's times and their ratio to the first row, from
# which docs/library.md has its numbers. The builds run in rotation; a cell is the smallest time of all rounds.
#
#   benchmarks/build_flags.sh [ROUNDS] [COMPILER]        (default: 5 g++)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
rounds=${1:-5}
compiler=${2:-g++}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/main.cpp" <<'CPP'
#include <cstdio>
#include <ctime>

#include "moderngpt2/moderngpt2.hpp"
using namespace moderngpt2;

// CPU time, which other programs on the machine disturb less than the time on the clock.
double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

int main() {
  Config config = size_config(4, 256, 4, 4000);
  config.n_positions = 256;
  CausalLM<any_shape> model(config, cpu::Backend(1));
  model.initialize(1);
  const int batch = 4, time = 128;
  std::vector<int> ids(batch * time);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = int(i * 2654435761u % 4000);
  auto work = model.workspace(batch, time, Mode::train);
  auto gradients = model.make_gradients();
  ModelOptimizer optimizer(model, {});
  double step = 1e9, token = 1e9;
  for (int i = 0; i < 4; ++i) {
    const double begin = cpu_seconds();
    set_to_zero(model.backend(), gradients);
    model.loss_and_gradients(work, ids.data(), {ids.data()}, gradients, {.batch = batch, .time = time});
    optimizer.step(model, gradients, 1e-4);
    step = std::min(step, cpu_seconds() - begin);
  }
  Generator generator(model, 256);
  for (int i = 0; i < 3; ++i) {
    double begin = 0;
    int count = 0;
    generator.generate(std::span(ids).first(16), {.max_new_tokens = 60, .do_sample = false}, [&](int) {
      if (++count == 10) begin = cpu_seconds();
      if (count == 60) token = std::min(token, (cpu_seconds() - begin) / 50);
      return true;
    });
  }
  std::printf("%g %g\n", step * 1e3, token * 1e3);
}
CPP

onednn="-DMODERNGPT2_HAVE_ONEDNN=1"
builds=("-O3 -march=native $onednn" "-O2 -march=native $onednn" "-O3 -march=x86-64-v3 $onednn" "-O3 $onednn"
  "-O2 $onednn" "-O0 $onednn" "-O3 -march=native" "-O2")
for i in "${!builds[@]}"; do
  read -ra flags <<<"${builds[i]}"
  libraries=(-lfmt -lxxhash -lpcre2-8 -lutf8proc)
  [[ ${builds[i]} != *ONEDNN* ]] || libraries+=(-ldnnl)
  "$compiler" -std=c++20 -fopenmp -w "${flags[@]}" -I"$root/include" -isystem /usr/include/eigen3 "$folder/main.cpp" \
    -o "$folder/build$i" "${libraries[@]}"
done
for ((round = 0; round < rounds; ++round)); do
  for i in "${!builds[@]}"; do "$folder/build$i" >>"$folder/times$i"; done
done
smallest() { cut -d' ' -f"$2" "$folder/times$1" | sort -g | head -1; }
echo "| flags | training step | decoded token |"
echo "| --- | --- | --- |"
for i in "${!builds[@]}"; do
  name=${builds[i]/ $onednn/}
  [[ ${builds[i]} == *ONEDNN* ]] || name+=", Eigen"
  awk -v name="$name" -v a="$(smallest "$i" 1)" -v b="$(smallest 0 1)" -v c="$(smallest "$i" 2)" -v d="$(smallest 0 2)" \
    'BEGIN { printf "| `%s` | %.1f ms, %.2fx | %.2f ms, %.2fx |\n", name, a, a / b, c, c / d }'
done
