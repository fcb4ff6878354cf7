#!/usr/bin/env bash
# Ours beside PyTorch, in one run: tokens/s, share of the measured peak, peak memory. Builds what it needs; PyTorch must
# be there (PYTHON=/path/to/python names one that has it). Arguments go to compare.py: --sizes small --parts step ...
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if ! "$python" -c 'import torch' 2>/dev/null; then
  echo "compare.sh: $python has no torch: install it, or name another Python with PYTHON=" >&2
  exit 1
fi
build=${BUILD:-build/compare}
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DMODERNGPT2_BUILD_BENCHMARKS=ON >/dev/null
cmake --build "$build" --target bench_model bench_machine
exec "$python" benchmarks/compare.py --bench_model "$build/bin/bench_model" --bench_machine "$build/bin/bench_machine" \
  --python "$python" "$@"
