#!/usr/bin/env bash
# Checks the CUDA backend on the GPU at hand: that its primitives do what the simulated GPU says, then every kernel, models
# and the golden cases.
#
#   tests/run_gpu.sh --bundle      beforehand: copies the headers that it needs into .gpu/
#   tests/run_gpu.sh [FOLDER]      builds and runs; needs nvcc, g++ and .gpu/, no network. Results: FOLDER (gpu_results)
#
# Without a GPU it builds all the same and says what it could not run.
set -uo pipefail
cd "$(dirname "$0")/.."

if [[ ${1:-} == --bundle ]]; then
  rm -rf .gpu
  mkdir -p .gpu/include
  for header in doctest fmt Eigen nlohmann xxhash.h; do
    for folder in /usr/include /usr/include/eigen3 /usr/local/include /usr/local/include/eigen3; do
      [[ -e $folder/$header ]] && cp -r "$folder/$header" .gpu/include/ && break
    done
    [[ -e .gpu/include/$header ]] || { echo "$header not found: run cmake/install_dependencies.sh --tests" >&2; exit 1; }
  done
  echo "bundle: $(du -sh .gpu | cut -f1) in .gpu/"
  exit 0
fi

results=${1:-gpu_results}
[[ -d .gpu/include/fmt ]] || { echo "no .gpu/: run tests/run_gpu.sh --bundle first" >&2; exit 2; }
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null) || { echo "no nvcc: install the CUDA toolkit" >&2; exit 2; }
toolkit=$(cd "$(dirname "$(readlink -f "$nvcc")")/.." && pwd)
build=.gpu/build
mkdir -p "$build" "$results"
failures=0

say() { printf '%5d s  %s\n' "$SECONDS" "$*" | tee -a "$results/summary.txt"; }
fail() { say "FAILED: $*"; failures=$((failures + 1)); }
: >"$results/summary.txt"
rm -f "$results/golden.txt"

gpu=$(nvidia-smi --query-gpu=name,compute_cap,driver_version --format=csv,noheader 2>/dev/null |
  grep -m1 -E ', *[0-9]+\.[0-9]+,')  # what it says without a driver is no GPU
architecture=${MODERNGPT2_GPU_ARCH:-$(cut -d, -f2 <<<"$gpu" | tr -d ' .')}
case $architecture in
  90 | 100) architecture+=a ;;
  "") architecture=90a ;;
esac
say "GPU: ${gpu:-none}; built for sm_$architecture by $("$nvcc" --version | grep -o 'release [0-9.]*')"

includes=(-Iinclude -Itests -isystem .gpu/include -DFMT_HEADER_ONLY=1 -DXXH_INLINE_ALL=1)
host=(g++ -std=c++20 -O2 -Wall -Wextra "${includes[@]}")
device=("$nvcc" -std=c++20 -O3 --expt-relaxed-constexpr -DFMT_CONSTEVAL= -DFMT_USE_CONSTEXPR=1 -diag-suppress 554,20208
  -gencode "arch=compute_$architecture,code=sm_$architecture" "${includes[@]}")

say "primitives: building"
"${device[@]}" tests/backend/cuda/conformance.cu -o "$build/conformance" 2>"$results/build.txt" ||
  fail "conformance does not build, see build.txt"
"${host[@]}" -DMODERNGPT2_CUDA_SIMULATED -x c++ tests/backend/cuda/conformance.cu -o "$build/conformance_simulated" \
  2>>"$results/build.txt" || fail "the simulated conformance does not build, see build.txt"
"$build/conformance_simulated" >"$results/conformance_simulated.txt" || fail "the simulated primitives"
if [[ -n $gpu ]]; then
  if "$build/conformance" >"$results/conformance_gpu.txt" &&
    diff "$results/conformance_gpu.txt" "$results/conformance_simulated.txt" >"$results/conformance_differences.txt"; then
    say "primitives: the GPU and the simulated one agree in $(wc -l <"$results/conformance_gpu.txt") lines"
  else
    fail "primitives differ: $(grep '^<' "$results/conformance_differences.txt" | awk '{print $2}' | sort | uniq -c | xargs)"
  fi
else
  say "primitives: skipped on the GPU, there is none"
fi

# Compiles one unit beside the others, $(nproc) at a time: compile OBJECT COMMAND... SOURCE
compile() {
  while [[ $(jobs -rp | wc -l) -ge $(nproc) ]]; do wait -n; done
  rm -f "$1"
  "${@:2}" -c -o "$1" 2>"$1.log" &
}
# All must be there: built WHAT OBJECT...
built() {
  wait
  for object in "${@:2}"; do
    cat "$object.log" >>"$results/build.txt"
    [[ -s $object ]] || fail "$1: $(basename "$object" .o) does not build, see build.txt"
  done
}

say "kernels: building"
objects=()
for kernel in include/moderngpt2/backend/cuda/kernels/*.cuh; do
  grep -q '^MODERNGPT2_CUDA_INSTANTIATE' "$kernel" || continue
  name=$(basename "$kernel" .cuh)
  printf '#include "moderngpt2/backend/cuda/kernels/%s.cuh"\n' "$name" >"$build/$name.cu"
  compile "$build/$name.o" "${device[@]}" "$build/$name.cu"
  objects+=("$build/$name.o")
done
[[ $toolkit == /usr ]] || host+=(-isystem "$toolkit/include")
tests=()
for test in tests/main.cpp tests/backend/cuda/*_test.cpp; do  # those without a case are of the simulated GPU
  [[ $test == tests/main.cpp ]] || grep -q check_cuda_case "$test" || continue
  object=$build/$(basename "$test" .cpp).test.o
  compile "$object" "${host[@]}" "$test"
  tests+=("$object")
done
golden=("$build/golden.o" "$build/golden_gpu.o")
compile "${golden[0]}" "${host[@]}" -DMODERNGPT2_HAVE_CUDA=1 tests/backend/cuda/golden.cpp
compile "${golden[1]}" "${host[@]}" -DMODERNGPT2_HAVE_CUDA=1 examples/golden_check/gpu.cpp
built "kernels" "${objects[@]}" "${tests[@]}" "${golden[@]}"
libraries=(-L"$toolkit/lib64" -Wl,-rpath,"$toolkit/lib64" -lcudart_static -lcublasLt -ldl -lrt -lpthread)
if "${host[@]}" "${tests[@]}" "${objects[@]}" -o "$build/test_cuda" "${libraries[@]}" 2>>"$results/build.txt"; then
  if [[ -n $gpu ]]; then
    "$build/test_cuda" >"$results/kernels.txt" 2>&1 || fail "kernels: see kernels.txt"
    grep -E 'MESSAGE|test cases' "$results/kernels.txt" | while read -r line; do say "kernels: $line"; done
  else
    say "kernels: built, not run, there is no GPU"
  fi
else
  fail "the kernel tests do not build, see build.txt"
fi

if "${host[@]}" "${golden[@]}" "${objects[@]}" -o "$build/golden" "${libraries[@]}" 2>>"$results/build.txt"; then
  if [[ -n $gpu ]]; then
    for precision in fp32 tf32 bf16 fp16; do
      "$build/golden" $precision tests/data/golden/*/ >>"$results/golden.txt" || fail "golden cases: see golden.txt"
      say "golden cases: $(tail -1 "$results/golden.txt")"
    done
  else
    say "golden cases: built, not run, there is no GPU"
  fi
else
  fail "the golden cases do not build, see build.txt"
fi

if [[ -z $gpu || ! -x $build/test_cuda ]]; then
  say "compute-sanitizer: skipped, nothing runs here"
elif command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    timeout 120 compute-sanitizer --tool $tool --error-exitcode 9 "$build/test_cuda" >>"$results/sanitizer.txt" 2>&1
    case $? in
      0) say "compute-sanitizer $tool: $(tail -1 "$results/sanitizer.txt")" ;;
      124) say "compute-sanitizer $tool: not finished after two minutes" ;;
      *) fail "compute-sanitizer $tool: see sanitizer.txt" ;;
    esac
  done
else
  say "compute-sanitizer: skipped, it is not installed"
fi

say "$failures failed"
[[ $failures -eq 0 ]]
