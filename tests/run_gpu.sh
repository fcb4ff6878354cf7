#!/usr/bin/env bash
# Tests the CUDA backend on a GPU: compares primitives with the simulated GPU's, tests every kernel and the golden
# cases, measures kernels, training and decoding, then runs compute-sanitizer. Each program is compiled, linked and run
# separately, with a time limit, so that a failure does not prevent the other steps.
#
#   tests/run_gpu.sh --bundle      first: copies the required headers into .gpu/
#   tests/run_gpu.sh [FOLDER]      builds and runs. Needs nvcc, g++ and .gpu/, no network. Results: FOLDER (gpu_results)
#
# Without a GPU it builds everything and reports what it did not run. Environment variables:
#
#   MODERNGPT2_GPU_STEPS         steps to run, of "primitives kernels golden benchmarks sanitizer" (default: all)
#   MODERNGPT2_GPU_SECONDS       total time limit in seconds (default: 570). Steps beyond it are cut short or skipped; a
#                                third is reserved for the benchmarks
#   MODERNGPT2_GPU_TEST_SECONDS  time limit of each test, golden run or sanitizer run in seconds (default: 60)
#   MODERNGPT2_GPU_ARCH          architecture to build for (default: that of the GPU, or 90)
#   MODERNGPT2_GPU_FOLDER        folder of the bundle (default: .gpu)
set -uo pipefail
cd "$(dirname "$0")/.." || exit
gpu_folder=${MODERNGPT2_GPU_FOLDER:-.gpu}

if [[ ${1:-} == --bundle ]]; then
  rm -rf "$gpu_folder"
  mkdir -p "$gpu_folder/include"
  for header in doctest fmt Eigen nlohmann xxhash.h pcre2.h utf8proc.h; do
    for folder in /usr/include /usr/include/eigen3 /usr/local/include /usr/local/include/eigen3; do
      [[ -e $folder/$header ]] && cp -r "$folder/$header" "$gpu_folder/include/" && break
    done
    [[ -e $gpu_folder/include/$header ]] || { echo "$header not found: run cmake/install_dependencies.sh --tests" >&2; exit 1; }
  done
  # Headers of one version of cudnn-frontend, for cuDNN's attention, which is skipped without them.
  for folder in "${XDG_CACHE_HOME:-$HOME/.cache}"/moderngpt2/cudnn-frontend-*/include; do
    [[ -e $folder/cudnn_frontend.h ]] && rm -rf "$gpu_folder/cudnn" && mkdir "$gpu_folder/cudnn" && cp -r "$folder" "$gpu_folder/cudnn/"
  done
  echo "bundle: $(du -sh "$gpu_folder" | cut -f1) in $gpu_folder/"
  exit 0
fi

# first COMMAND...: prints the path of the first command that exists
first() { for one in "$@"; do command -v "$one" 2>/dev/null && return; done; }

results=${1:-gpu_results}
[[ -d $gpu_folder/include/fmt ]] || { echo "no $gpu_folder/: run tests/run_gpu.sh --bundle first" >&2; exit 2; }
nvcc=$(first nvcc "${CUDA_HOME:-none}/bin/nvcc" "${CUDA_PATH:-none}/bin/nvcc" /usr/local/cuda/bin/nvcc \
  /usr/local/cuda-*/bin/nvcc /opt/cuda/bin/nvcc) || { echo "no nvcc: install the CUDA toolkit" >&2; exit 2; }
toolkit=$(cd "$(dirname "$(readlink -f "$nvcc")")/.." && pwd)
build=$gpu_folder/build
rm -rf "$build"
mkdir -p "$build" "$results"
failures=0

steps=" ${MODERNGPT2_GPU_STEPS:-primitives kernels golden benchmarks sanitizer} "
wanted() { [[ $steps == *" $1 "* ]]; }
whole=${MODERNGPT2_GPU_SECONDS:-570}
each=${MODERNGPT2_GPU_TEST_SECONDS:-60}
kept=0  # seconds reserved for the benchmarks
# limit SECONDS: prints the time limit of a step: at most $1 and the remaining time; 0 if no time is left
limit() {
  local left=$((whole - kept - SECONDS))
  echo $((left < 1 ? 0 : left < $1 ? left : $1))
}
readonly left_out=75
# attempt SECONDS COMMAND...: like timeout, but returns left_out if SECONDS is 0
attempt() {
  [[ $1 -gt 0 ]] || return $left_out
  { timeout -k 3 "$@" 2>&3; } 3>&2 2>/dev/null  # without bash's messages about crashes
}
# what_of STATUS: describes the result of an attempt that failed with STATUS
what_of() {
  case $1 in
    "$left_out") echo "left out, no time is left" ;;
    124 | 137) echo "not finished in its time, or killed" ;;
    1[3-9][0-9]) echo "crashed, SIG$(kill -l $(($1 - 128)))" ;;
    *) echo "exit status $1" ;;
  esac
}
say() { printf '%5d s  %s\n' "$SECONDS" "$*" | tee -a "$results/summary.txt"; }
fail() { say "FAILED: $*"; failures=$((failures + 1)); }
# quote FILE [LINES]: prints the last lines of a file below a failure
quote() { grep -v '^ *$' "$1" | tail -n "${2:-3}" | cut -c1-200 | while IFS= read -r line; do say "    | $line"; done; }
rm -f "$results"/{conformance_gpu,conformance_differences,kernels,golden,sanitizer,benchmarks}.txt
: >"$results/summary.txt"
: >"$results/build.txt"

gpu=$(timeout 30 nvidia-smi --query-gpu=name,compute_cap,driver_version --format=csv,noheader 2>/dev/null |
  grep -m1 -E ', *[0-9]+\.[0-9]+,')  # without a driver nvidia-smi prints an error instead
architecture=${MODERNGPT2_GPU_ARCH:-$(cut -d, -f2 <<<"$gpu" | tr -d ' .')}
architecture=${architecture:-90}
[[ -z $gpu ]] || ! wanted benchmarks || kept=$((whole / 3))
say "GPU: ${gpu:-none}; built for sm_$architecture by $("$nvcc" --version | grep -o 'release [0-9.]*')"

toolkits=("$toolkit" "$(dirname "$(dirname "$nvcc")")" /usr/local/cuda /usr)
# library NAME...: prints the path of the first file found in a toolkit
library() {
  for name in "$@"; do
    for one in "${toolkits[@]}"; do
      for folder in lib64 "lib/$(uname -m)-linux-gnu" "targets/$(uname -m)-linux/lib" targets/sbsa-linux/lib lib; do
        for file in "$one/$folder"/$name; do [[ -e $file ]] && echo "$file" && return; done
      done
    done
  done
  return 1
}
libraries=()
for names in "libcudart_static.a libcudart.so libcudart.so.[0-9]*" "libcublasLt.so libcublasLt.so.[0-9]*"; do
  # shellcheck disable=SC2086 # names
  file=$(library $names) || { fail "none of $names is in ${toolkits[*]}"; continue; }
  libraries+=("$file" "-Wl,-rpath,$(dirname "$file")")
done
libraries+=(-ldl -lrt -lpthread)

# Additional flags and libraries of programs with cuDNN; empty if it is not installed.
cudnn_flags=() cudnn_libraries=()
if [[ -e $gpu_folder/cudnn/include/cudnn_frontend.h ]] && file=$(library libcudnn.so "libcudnn.so.[0-9]*") &&
  nvrtc=$(library libnvrtc.so "libnvrtc.so.[0-9]*"); then
  cudnn_flags=(-DMODERNGPT2_HAVE_CUDNN=1 -isystem "$gpu_folder/cudnn/include")
  cudnn_libraries=("$file" "$nvrtc" "-Wl,-rpath,$(dirname "$file"):$(dirname "$nvrtc")")
fi

includes=(-Iinclude -Itests -isystem "$gpu_folder/include" -DFMT_HEADER_ONLY=1 -DXXH_INLINE_ALL=1)
simulated=(g++ -std=c++20 -O2 -Wall -Wextra "${includes[@]}" -DMODERNGPT2_CUDA_SIMULATED -x c++)
host=(g++ -std=c++20 -O2 -Wall -Wextra "${includes[@]}" -DMODERNGPT2_HAVE_CUDA=1)
for one in "${toolkits[@]}"; do
  for folder in "$one/include" "$one/targets/$(uname -m)-linux/include" "$one/targets/sbsa-linux/include"; do
    [[ -e $folder/cublasLt.h ]] || continue
    [[ $folder == /usr/include ]] || host+=(-isystem "$folder")
    break 2
  done
done
# shellcheck disable=SC2054 # commas are part of nvcc's flags
device=("$nvcc" -std=c++20 -O3 --expt-relaxed-constexpr -DFMT_CONSTEVAL= -DFMT_USE_CONSTEXPR=1 -diag-suppress 554,20208
  -allow-unsupported-compiler -gencode "arch=compute_$architecture,code=sm_$architecture" "${includes[@]}")

# make FILE COMMAND...: runs the command with "-o FILE" in the background, $(nproc) at a time
make() {
  while [[ $(jobs -rp | wc -l) -ge $(nproc) ]]; do wait -n; done
  { attempt "$(limit 600)" "${@:2}" -o "$1" 2>"$1.log" || echo "error: $(what_of $?)" >>"$1.log"; } &
}
# made FILE WHAT: whether make produced the file; reports the error if not
made() {
  cat "$1.log" >>"$results/build.txt"
  [[ -s $1 ]] && return
  fail "$2 does not build: $(grep -m1 -E 'error[ :]|undefined reference|fatal' "$1.log" | cut -c1-200), see build.txt"
  return 1
}

if wanted primitives; then
  say "primitives: building"
  make "$build/conformance" "${device[@]}" tests/backend/cuda/conformance.cu
  make "$build/conformance_simulated" "${simulated[@]}" tests/backend/cuda/conformance.cu
  wait
  made "$build/conformance" "conformance"
  if made "$build/conformance_simulated" "the simulated conformance"; then
    attempt "$(limit 60)" "$build/conformance_simulated" >"$build/conformance_simulated.txt" ||
      fail "the simulated primitives: $(what_of $?)"
  fi
  if [[ -z $gpu ]]; then
    say "primitives: skipped on the GPU, there is none"
  elif [[ -x $build/conformance ]]; then
    attempt "$(limit "$each")" "$build/conformance" >"$results/conformance_gpu.txt" 2>"$build/conformance.err" || {
      fail "primitives: $(what_of $?); each by itself:" && quote "$build/conformance.err"
      for name in $(cut -d' ' -f1 "$build/conformance_simulated.txt" | uniq); do
        attempt "$(limit 10)" "$build/conformance" "$name" 2>"$build/conformance.err" ||
          { fail "primitive $name: $(what_of $?)" >&2 && quote "$build/conformance.err" 1 >&2; }
      done >"$results/conformance_gpu.txt"
    }
    if diff "$results/conformance_gpu.txt" "$build/conformance_simulated.txt" >"$results/conformance_differences.txt"; then
      say "primitives: the GPU and the simulated one agree in $(wc -l <"$results/conformance_gpu.txt") lines"
    else
      fail "primitives differ: $(grep '^[<>]' "$results/conformance_differences.txt" | awk '{print $2}' | sort | uniq -c | xargs)"
    fi
  fi
fi

kernels=() tests=() programs=()
if wanted kernels || wanted golden || wanted sanitizer || wanted benchmarks; then
  say "kernels: building"
  for kernel in include/moderngpt2/backend/cuda/kernels/*.cuh; do
    grep -q '^MODERNGPT2_CUDA_INSTANTIATE' "$kernel" || continue
    name=$(basename "$kernel" .cuh)
    printf '#include "moderngpt2/backend/cuda/kernels/%s.cuh"\n' "$name" >"$build/$name.cu"
    make "$build/$name.o" "${device[@]}" -c "$build/$name.cu"
    kernels+=("$name")
  done
  make "$build/user_activations.o" "${device[@]}" -c tests/backend/cuda/user_activations.cu
  kernels+=(user_activations)
  declare -A parts=()  # object files of each program without kernels, one per line
  # program NAME SOURCE...: compiles a program. Programs with cuDNN (NAME_with_cudnn) are separate, so that errors there
  # do not affect the others.
  program() {
    programs+=("$1")
    parts[$1]=
    local flags=() suffix=
    [[ $1 != *_with_cudnn ]] || flags=("${cudnn_flags[@]}") suffix=_with_cudnn
    for source in "${@:2}"; do
      local object=$build/${source//\//_}$suffix.o
      [[ ${parts[*]} == *"$object"* ]] || make "$object" "${host[@]}" "${flags[@]}" -c "$source"
      parts[$1]+=$object$'\n'
    done
  }
  if wanted kernels || wanted sanitizer; then
    for test in tests/backend/cuda/*_test.cpp; do  # tests without cases are for the simulated GPU only
      grep -q check_cuda_case "$test" || continue
      tests+=("$(basename "$test" .cpp)")
      program "${tests[-1]}" "$test" tests/main.cpp
    done
  fi
  ! wanted golden || program golden tests/backend/cuda/golden.cpp examples/golden_check/gpu.cpp
  if wanted benchmarks; then
    program benchmark_kernels benchmarks/cuda/kernels.cpp
    program benchmark_models benchmarks/cuda/models.cpp
  fi
  if [[ ${#cudnn_flags[@]} -eq 0 ]]; then
    say "cuDNN's attention: left out, there is no cuDNN, libnvrtc or cudnn-frontend"
  else
    cudnn=$build/cudnn_attention.cpp
    echo '#include "moderngpt2/backend/cuda/cudnn_attention.hpp"' >"$cudnn"
    ! wanted kernels || program cudnn_calls_test_with_cudnn "$cudnn" tests/backend/cuda/cudnn_calls_test.cpp tests/main.cpp
    ! wanted kernels || tests+=(cudnn_calls_test_with_cudnn)
    if wanted benchmarks; then
      program benchmark_kernels_with_cudnn "$cudnn" benchmarks/cuda/kernels.cpp
      program benchmark_models_with_cudnn "$cudnn" benchmarks/cuda/models.cpp
    fi
  fi
  wait
  objects=()
  for kernel in "${kernels[@]}"; do
    ! made "$build/$kernel.o" "kernel $kernel" || objects+=("$build/$kernel.o")
  done
  while read -r object; do made "$object" "$(basename "$object" .o)"; done < <(printf '%s' "${parts[@]}" | sort -u)
  say "kernels: ${#objects[@]} of ${#kernels[@]} built, linking ${#programs[@]} programs"
  linked=()
  for name in "${programs[@]}"; do
    mapfile -t own < <(printf '%s' "${parts[$name]}")
    ls "${own[@]}" >/dev/null 2>&1 || continue
    more=()
    [[ $name != *_with_cudnn ]] || more=("${cudnn_libraries[@]}")
    make "$build/$name" g++ "${own[@]}" "${objects[@]}" "${more[@]}" "${libraries[@]}"
    linked+=("$name")
  done
  wait
  for name in "${linked[@]}"; do made "$build/$name" "$name"; done
  [[ -n $gpu ]] || say "kernels, golden cases, benchmarks: built, not run, there is no GPU"
fi

failed=() passed=()
if [[ -n $gpu ]] && wanted kernels; then
  for test in "${tests[@]}"; do
    [[ -x $build/$test ]] || continue
    begin=$SECONDS
    attempt "$(limit "$each")" "$build/$test" >"$build/$test.txt" 2>&1
    status=$?
    { echo "== $test" && cat "$build/$test.txt"; } >>"$results/kernels.txt"
    if [[ $status -eq 0 ]]; then
      say "kernels: $test passed in $((SECONDS - begin)) s: $(grep -o 'test cases: *[0-9]*' "$build/$test.txt")"
      passed+=("$test")
    else
      fail "kernels: $test: $(what_of $status), see kernels.txt"
      quote "$build/$test.txt" 6
      failed+=("$test")
    fi
    grep MESSAGE "$build/$test.txt" | while read -r line; do say "kernels: $line"; done
  done
else
  passed=("${tests[@]}")
fi

if [[ -n $gpu && -x $build/golden ]] && wanted golden; then
  # golden PRECISION FOLDER...: whether the program ran to its end
  golden() {
    attempt "$(limit "$each")" "$build/golden" "$@" >"$build/golden.txt" 2>&1
    local status=$?
    cat "$build/golden.txt" >>"$results/golden.txt"
    local end
    end=$(grep 'comparisons failed$' "$build/golden.txt") || { golden_end="$(what_of $status)"; return 1; }
    [[ $status -eq 0 ]] || fail "golden cases: see golden.txt"
    [[ $# -eq 2 && $status -eq 0 ]] || say "golden cases: $end"
  }
  for precision in fp32 tf32 bf16 fp16; do
    golden $precision tests/data/golden/*/ && continue
    [[ $golden_end != "left out"* ]] || { fail "golden cases in $precision: $golden_end" && continue; }
    fail "golden cases in $precision: $golden_end; each by itself:"
    for folder in tests/data/golden/*/; do
      golden $precision "$folder" || { fail "golden case $(basename "$folder") in $precision: $golden_end" && quote "$build/golden.txt" 1; }
    done
  done
fi

kept=0
# shellcheck source=tests/run_gpu_benchmarks.sh
. tests/run_gpu_benchmarks.sh

sanitizer=$(first compute-sanitizer {"$toolkit","$(dirname "$(dirname "$nvcc")")",/usr/local/cuda}/{bin,compute-sanitizer}/compute-sanitizer)
if ! wanted sanitizer || [[ -z $gpu ]]; then
  say "compute-sanitizer: skipped, nothing runs here"
elif [[ -z $sanitizer ]]; then
  say "compute-sanitizer: skipped, it is not installed"
else
  for tool in memcheck racecheck; do
    clean=() unfinished=()
    for test in "${failed[@]}" "${passed[@]}"; do  # failed tests first: the sanitizer may show why
      [[ -x $build/$test ]] || continue
      attempt "$(limit "$each")" "$sanitizer" --tool $tool --error-exitcode 9 "$build/$test" >"$build/sanitizer.txt" 2>&1
      status=$?
      { echo "== $tool $test" && cat "$build/sanitizer.txt"; } >>"$results/sanitizer.txt"
      case $status in
        0) clean+=("$test") ;;
        124 | 137 | "$left_out") unfinished+=("$test") ;;
        *) fail "compute-sanitizer $tool $test: $(what_of $status), see sanitizer.txt" && quote "$build/sanitizer.txt" ;;
      esac
    done
    say "compute-sanitizer $tool: nothing found in: ${clean[*]:-none}; no time for: ${unfinished[*]:-none}"
  done
fi

say "$failures failed"
[[ $failures -eq 0 ]]
