#!/usr/bin/env bash
# Compares ours with PyTorch, transformers and llama.cpp in one run: tokens/s, share of the measured peak, peak memory.
# Builds our side; the others must be installed. PYTHON=/path/to/python names a Python with torch (and optionally
# transformers, numpy, gguf); --llama_bench FILE names a llama-bench built for this machine. Other arguments go to
# compare.py:
#
#   benchmarks/compare.sh --quick                       a first look, some minutes
#   benchmarks/compare.sh --page docs/performance.md    everything, and the page's tables and picture written anew
#   benchmarks/compare.sh --parts --page docs/performance.md    the page alone, of what was measured before
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
