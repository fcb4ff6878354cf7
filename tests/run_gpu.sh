#!/usr/bin/env bash
# Checks the CUDA backend on the GPU at hand: that its primitives do what the simulated GPU says, then every kernel, models
# and the golden cases, and compute-sanitizer; then measures kernels, training and decoding.
#
#   tests/run_gpu.sh --bundle      beforehand: copies the headers that it needs into .gpu/
#   tests/run_gpu.sh [FOLDER]      builds and runs; needs nvcc, g++ and .gpu/, no network. Results: FOLDER (gpu_results)
#
# Without a GPU it builds all the same and says what it could not run. In the environment:
#
#   MODERNGPT2_GPU_STEPS     some of "primitives kernels golden sanitizer benchmarks" (all)
#   MODERNGPT2_GPU_SECONDS   about when it is to be done: what no time is left for is cut short or left out (570)
#   MODERNGPT2_GPU_ARCH      what to build for (90 without a GPU)
#   MODERNGPT2_GPU_FOLDER    another place than .gpu
set -uo pipefail
cd "$(dirname "$0")/.." || exit
gpu_folder=${MODERNGPT2_GPU_FOLDER:-.gpu}

if [[ ${1:-} == --bundle ]]; then
  rm -rf "$gpu_folder"
  mkdir -p "$gpu_folder/include"
  for header in doctest fmt Eigen nlohmann xxhash.h; do
    for folder in /usr/include /usr/include/eigen3 /usr/local/include /usr/local/include/eigen3; do
      [[ -e $folder/$header ]] && cp -r "$folder/$header" "$gpu_folder/include/" && break
    done
    [[ -e $gpu_folder/include/$header ]] || { echo "$header not found: run cmake/install_dependencies.sh --tests" >&2; exit 1; }
  done
  echo "bundle: $(du -sh "$gpu_folder" | cut -f1) in $gpu_folder/"
  exit 0
fi

results=${1:-gpu_results}
[[ -d $gpu_folder/include/fmt ]] || { echo "no $gpu_folder/: run tests/run_gpu.sh --bundle first" >&2; exit 2; }
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null) || { echo "no nvcc: install the CUDA toolkit" >&2; exit 2; }
toolkit=$(cd "$(dirname "$(readlink -f "$nvcc")")/.." && pwd)
build=$gpu_folder/build
mkdir -p "$build" "$results"
failures=0

steps=" ${MODERNGPT2_GPU_STEPS:-primitives kernels golden sanitizer benchmarks} "
wanted() { [[ $steps == *" $1 "* ]]; }
# Seconds that a part may take: at most $1, and never more than are left.
limit() {
  local left=$((${MODERNGPT2_GPU_SECONDS:-570} - SECONDS))
  echo $((left < 1 ? 1 : left < $1 ? left : $1))
}
say() { printf '%5d s  %s\n' "$SECONDS" "$*" | tee -a "$results/summary.txt"; }
fail() { say "FAILED: $*"; failures=$((failures + 1)); }
: >"$results/summary.txt"
rm -f "$results"/{golden,sanitizer,benchmarks}.txt
: >"$results/build.txt"

gpu=$(nvidia-smi --query-gpu=name,compute_cap,driver_version --format=csv,noheader 2>/dev/null |
  grep -m1 -E ', *[0-9]+\.[0-9]+,')  # what it says without a driver is no GPU
architecture=${MODERNGPT2_GPU_ARCH:-$(cut -d, -f2 <<<"$gpu" | tr -d ' .')}
architecture=${architecture:-90}
say "GPU: ${gpu:-none}; built for sm_$architecture by $("$nvcc" --version | grep -o 'release [0-9.]*')"

includes=(-Iinclude -Itests -isystem "$gpu_folder/include" -DFMT_HEADER_ONLY=1 -DXXH_INLINE_ALL=1)
host=(g++ -std=c++20 -O2 -Wall -Wextra "${includes[@]}")
# shellcheck disable=SC2054 # commas of nvcc's
device=("$nvcc" -std=c++20 -O3 --expt-relaxed-constexpr -DFMT_CONSTEVAL= -DFMT_USE_CONSTEXPR=1 -diag-suppress 554,20208
  -gencode "arch=compute_$architecture,code=sm_$architecture" "${includes[@]}")

if wanted primitives; then
  say "primitives: building"
  "${device[@]}" tests/backend/cuda/conformance.cu -o "$build/conformance" 2>>"$results/build.txt" ||
    fail "conformance does not build, see build.txt"
  "${host[@]}" -DMODERNGPT2_CUDA_SIMULATED -x c++ tests/backend/cuda/conformance.cu -o "$build/conformance_simulated" \
    2>>"$results/build.txt" || fail "the simulated conformance does not build, see build.txt"
  "$build/conformance_simulated" >"$build/conformance_simulated.txt" || fail "the simulated primitives"
  if [[ -n $gpu ]]; then
    if "$build/conformance" >"$results/conformance_gpu.txt" &&
      diff "$results/conformance_gpu.txt" "$build/conformance_simulated.txt" >"$results/conformance_differences.txt"; then
      say "primitives: the GPU and the simulated one agree in $(wc -l <"$results/conformance_gpu.txt") lines"
    else
      fail "primitives differ: $(grep '^<' "$results/conformance_differences.txt" | awk '{print $2}' | sort | uniq -c | xargs)"
    fi
  else
    say "primitives: skipped on the GPU, there is none"
  fi
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

objects=() tests=() golden=()
[[ $toolkit == /usr ]] || host+=(-isystem "$toolkit/include")
# shellcheck disable=SC2054 # and of the linker's
libraries=(-L"$toolkit/lib64" -Wl,-rpath,"$toolkit/lib64" -lcudart_static -lcublasLt -ldl -lrt -lpthread)
# link PROGRAM OBJECT...: with the kernels
link() {
  "${host[@]}" "${@:2}" "${objects[@]}" -o "$build/$1" "${libraries[@]}" 2>>"$results/build.txt" && return
  rm -f "$build/$1"
  fail "$1 does not build, see build.txt"
}

if wanted kernels || wanted golden || wanted sanitizer || wanted benchmarks; then
  say "kernels: building"
  for kernel in include/moderngpt2/backend/cuda/kernels/*.cuh; do
    grep -q '^MODERNGPT2_CUDA_INSTANTIATE' "$kernel" || continue
    name=$(basename "$kernel" .cuh)
    printf '#include "moderngpt2/backend/cuda/kernels/%s.cuh"\n' "$name" >"$build/$name.cu"
    compile "$build/$name.o" "${device[@]}" "$build/$name.cu"
    objects+=("$build/$name.o")
  done
  if wanted kernels || wanted sanitizer; then
    for test in tests/main.cpp tests/backend/cuda/*_test.cpp; do  # those without a case are of the simulated GPU
      [[ $test == tests/main.cpp ]] || grep -q check_cuda_case "$test" || continue
      object=$build/$(basename "$test" .cpp).test.o
      compile "$object" "${host[@]}" "$test"
      tests+=("$object")
    done
  fi
  if wanted golden; then
    golden=("$build/golden.o" "$build/golden_gpu.o")
    compile "${golden[0]}" "${host[@]}" -DMODERNGPT2_HAVE_CUDA=1 tests/backend/cuda/golden.cpp
    compile "${golden[1]}" "${host[@]}" -DMODERNGPT2_HAVE_CUDA=1 examples/golden_check/gpu.cpp
  fi
  benchmarks=()
  if wanted benchmarks; then
    for name in kernels models; do
      compile "$build/$name.benchmark.o" "${host[@]}" -DMODERNGPT2_HAVE_CUDA=1 "benchmarks/cuda/$name.cpp"
      benchmarks+=("$build/$name.benchmark.o")
    done
  fi
  built "kernels" "${objects[@]}" "${tests[@]}" "${golden[@]}" "${benchmarks[@]}"
  [[ ${#tests[@]} -eq 0 ]] || link test_cuda "${tests[@]}"
  [[ ${#golden[@]} -eq 0 ]] || link golden "${golden[@]}"
  for object in "${benchmarks[@]}"; do
    link "benchmark_$(basename "$object" .benchmark.o)" "$object"
  done
  [[ -n $gpu ]] || say "kernels, golden cases, benchmarks: built, not run, there is no GPU"
fi

if [[ -n $gpu && -x $build/test_cuda ]] && wanted kernels; then
  timeout "$(limit 240)" "$build/test_cuda" >"$results/kernels.txt" 2>&1 || fail "kernels: see kernels.txt"
  grep -E 'MESSAGE|test cases' "$results/kernels.txt" | while read -r line; do say "kernels: $line"; done
fi

if [[ -n $gpu && -x $build/golden ]] && wanted golden; then
  for precision in fp32 tf32 bf16 fp16; do
    timeout "$(limit 60)" "$build/golden" $precision tests/data/golden/*/ >>"$results/golden.txt" ||
      fail "golden cases: see golden.txt"
    say "golden cases: $(tail -1 "$results/golden.txt")"
  done
fi

if ! wanted sanitizer || [[ -z $gpu || ! -x $build/test_cuda ]]; then
  say "compute-sanitizer: skipped, nothing runs here"
elif command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    timeout "$(limit 90)" compute-sanitizer --tool $tool --error-exitcode 9 "$build/test_cuda" \
      >>"$results/sanitizer.txt" 2>&1
    case $? in
      0) say "compute-sanitizer $tool: $(tail -1 "$results/sanitizer.txt")" ;;
      124) say "compute-sanitizer $tool: not finished in its time" ;;
      *) fail "compute-sanitizer $tool: see sanitizer.txt" ;;
    esac
  done
else
  say "compute-sanitizer: skipped, it is not installed"
fi

heard() { tee -a "$results/benchmarks.txt" | while read -r line; do say "$line"; done; }
# measure SECONDS COMMAND...: what it says, as it says it
measure() {
  timeout "$(limit "$1")" "${@:2}" 2>&1 | heard
  case ${PIPESTATUS[0]} in
    0) ;;
    124) say "not finished in its time: ${*:3}" ;;
    *) fail "benchmark: ${*:3}" ;;
  esac
}
# measure_torch SIZE BATCH: the mean of ten steps
measure_torch() {
  # shellcheck disable=SC2016 # awk's own
  yes | head -10 | timeout "$(limit 90)" python3 benchmarks/peers/torch_model.py step "$1" bf16 compile "$2" 1024 0 1 cuda \
    2>>"$results/build.txt" | awk -v n="$2" -v size="$1" 'NR > 1 { s += $1; ++k }
    END { if (k) printf "PyTorch, training %s: batch %d x 1024, %.0f tokens/s\n", size, n, n * 1024 * k / s
          else printf "PyTorch, training %s: not finished in its time\n", size }' | heard
}

# TFLOP/s in bf16 with fp32 sums, without sparsity, as NVIDIA says; empty: not known here.
peak_of() {
  case $1 in
    *"H100 PCIe"*) echo 756 ;;
    *H100* | *H200*) echo 989 ;;
    *B200*) echo 2250 ;;
    *A100* | *A800*) echo 312 ;;
    *L40S*) echo 362 ;;
    *A6000*) echo 155 ;;
    *"RTX 4090"*) echo 165 ;;
  esac
}

if wanted benchmarks && [[ -n $gpu ]]; then
  peak=$(peak_of "$gpu")
  [[ ! -x $build/benchmark_kernels ]] || measure 60 "$build/benchmark_kernels" "${peak:-0}"
  sizes=("small 32" "medium 16" "large 16" "xl 8")
  if [[ -x $build/benchmark_models ]]; then
    for size in "${sizes[@]}"; do
      # shellcheck disable=SC2086 # size and batch
      measure 45 "$build/benchmark_models" step $size 1024 "${peak:-0}"
    done
    measure 45 "$build/benchmark_models" step medium 16 1024 "${peak:-0}" searched
    measure 30 "$build/benchmark_models" decode small 1 1024 128
    measure 30 "$build/benchmark_models" decode small 32 1024 128
    measure 30 "$build/benchmark_models" decode xl 1 1024 64
  fi
  if python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    for size in "${sizes[@]}"; do
      read -r name batch <<<"$size"
      measure_torch "$name" "$batch"
    done
  else
    say "PyTorch: skipped, it is not installed or sees no GPU"
  fi
fi

say "$failures failed"
[[ $failures -eq 0 ]]
