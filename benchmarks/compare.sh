#!/usr/bin/env bash
# Compares this project with PyTorch, transformers and llama.cpp in one run: tokens/s, share of the measured peak, peak
# memory. Builds this project's benchmarks; the other programs must be installed. PYTHON=/path/to/python names a Python
# with torch (optional: transformers, numpy, gguf), --llama_bench FILE a llama-bench built for this machine. Other
# arguments are passed to compare.py:
#
#   benchmarks/compare.sh --quick                       short run, some minutes
#   benchmarks/compare.sh --page docs/performance.md    all rows; rewrites the tables and the picture of the page
#   benchmarks/compare.sh --parts --page docs/performance.md    rewrites the page from earlier results
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if ! "$python" -c 'import torch' 2>/dev/null; then
  echo "compare.sh: $python has no torch: install it, or name another Python with PYTHON=" >&2
  exit 1
fi
build=${BUILD:-build/compare}
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DMODERNGPT2_BUILD_BENCHMARKS=ON >/dev/null
cmake --build "$build" --target bench_model bench_machine bench_breakdown
programs=()
for name in bench_model bench_machine bench_breakdown; do programs+=("--$name" "$build/bin/$name"); done
exec "$python" benchmarks/compare.py "${programs[@]}" --python "$python" "$@"
