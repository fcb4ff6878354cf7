#!/usr/bin/env bash
# run_gpu.sh goes on whatever fails. A GPU is played: nvidia-smi, nvcc, g++ and compute-sanitizer are scripts, whose
# "programs" pass, crash, hang or do not build as PLAN says.
#
#   check_run_gpu.sh FOLDER
set -uo pipefail
cd "$(dirname "$0")/../../.." || exit
folder=$1
rm -rf "$folder"
mkdir -p "$folder"/{bin,lib64,include,bundle/include/fmt}
touch "$folder"/lib64/{libcudart_static.a,libcublasLt.so.13} "$folder/include/cublasLt.h"

cat >"$folder/bin/nvidia-smi" <<'END'
#!/bin/sh
echo "NVIDIA H100 NVL, 9.0, 580.0"
END
# Objects hold their source's name. A program without a kernel that the plan says it needs does not link.
cat >"$folder/bin/nvcc" <<'END'
#!/usr/bin/env bash
[[ $1 != --version ]] || { echo "release 13.0"; exit; }
compiled=no objects=() before=
for one in "$@"; do
  case $one in -c) compiled=yes ;; *.o) [[ $before == -o ]] || objects+=("$one") ;; *.cpp | *.cu) source=$one ;; esac
  [[ $before != -o ]] || out=$one
  before=$one
done
name=$(basename "$out")
plan() { [[ " $PLAN " == *" $1 "* ]]; }
if [[ $compiled == yes ]]; then
  plan "$(basename "$source"):broken" && echo "$source:1: error: planted" >&2 && exit 1
  echo "$source" >"$out"
  exit
fi
if [[ ${#objects[@]} -gt 0 && $PLAN == *" $name:needs:"* ]]; then
  needed=${PLAN#* "$name":needs:}
  [[ " ${objects[*]} " == *"/${needed%% *}.o "* ]] || { echo "undefined reference to planted" >&2; exit 1; }
fi
printf '#!/usr/bin/env bash\nname=%s\n. "%s/act" "$@"\n' "$name" "$(dirname "$0")" >"$out"
chmod +x "$out"
END
cp "$folder/bin/nvcc" "$folder/bin/g++"
cat >"$folder/bin/act" <<'END'
plan() { [[ " $PLAN " == *" $name:$1 "* ]]; }
echo "$name $*" >>"$RAN"
case $name in
  conformance*) echo "block_sum 0: 00000001" ;;
  golden)
    if plan crash:${1} && [[ $# -gt 2 || $2 == */relu/ ]]; then kill -ABRT $$; fi
    echo "$1: $(($# - 1)) cases, 0 comparisons failed" ;;
  benchmark_*) echo "figures of $*" ;;
  *) echo "[doctest] test cases: 1 | 1 passed" ;;
esac
! plan crash || kill -SEGV $$
! plan hang || exec sleep 60
! plan deaf || { trap '' TERM; for i in 1 2 3 4 5 6 7 8 9; do sleep 1; done; }
! plan fail || exit 1
END
cat >"$folder/bin/compute-sanitizer" <<'END'
#!/usr/bin/env bash
echo "sanitizer $2 $(basename "$5")" >>"$RAN"
[[ " $PLAN " != *" $(basename "$5"):$2 "* ]] || exit 9
END
printf '#!/bin/sh\nexit 1\n' >"$folder/bin/python3"  # PyTorch is not installed
chmod +x "$folder"/bin/*

failures=0
wrong() { echo "WRONG: $*"; failures=$((failures + 1)); }
# play STATUS PLAN...: run_gpu.sh with that plan has to end with that status
play() {
  rm -rf "$folder/results" "$folder/ran"
  env PATH="$folder/bin:$PATH" PLAN=" ${*:2} " RAN="$folder/ran" MODERNGPT2_GPU_FOLDER="$folder/bundle" \
    MODERNGPT2_GPU_SECONDS="${seconds:-570}" MODERNGPT2_GPU_TEST_SECONDS=2 \
    bash tests/run_gpu.sh "$folder/results" >"$folder/output.txt" 2>&1
  local status=$?
  cat "$folder/output.txt"
  [[ $status -eq $1 ]] || wrong "exit status $status, expected $1"
  [[ $(find "$folder/results" -type f | wc -l) -le 8 ]] || wrong "more than 8 files of results"
}
said() { grep -q -E "$1" "$folder/results/summary.txt" || wrong "the summary does not say: $1"; }
ran() { grep -q -E "$1" "$folder/ran" || wrong "has not run: $1"; }
not_ran() { ! grep -q -E "$1" "$folder/ran" || wrong "has run: $1"; }
# before FIRST SECOND: the last run of the first is before the first of the second
before() {
  local last next
  last=$(grep -n -E "$1" "$folder/ran" | tail -1 | cut -d: -f1) next=$(grep -n -m1 -E "$2" "$folder/ran" | cut -d: -f1)
  [[ ${last:-0} -gt 0 && ${next:-0} -gt $last ]] || wrong "$1 has not run before $2"
}

play 0
said "built for sm_90 by release 13.0"
said "primitives: the GPU and the simulated one agree in 1 lines"
said "kernels: rotary_test passed"
said "compute-sanitizer racecheck: nothing found in: .*rotary_test.*; no time for: none"
said " 0 failed"
ran "benchmark_kernels 835$"  # the peak of an H100 NVL
before "^conformance" "^[a-z]+_test"
before "^[a-z]+_test" "^golden"
before "^golden" "^benchmark"
before "^benchmark" "^sanitizer memcheck"

play 1 conformance:crash matmul_test.cpp:broken losses.cu:broken classifier_test:needs:losses norm_test:crash rows_test:deaf \
  golden:crash:bf16 rotary_test:fail sampling_test:memcheck benchmark_models:crash
said "FAILED: primitives: crashed, SIGSEGV; each by itself"
said "FAILED: primitive block_sum: crashed, SIGSEGV"
said "FAILED: kernel losses does not build: .*losses.cu:1: error: planted"
said "FAILED: tests_backend_cuda_matmul_test.cpp does not build: .*planted"
said "FAILED: classifier_test does not build: undefined reference to planted"
said "FAILED: kernels: norm_test: crashed, SIGSEGV"
said "FAILED: kernels: rows_test: not finished in its time"
said "FAILED: kernels: rotary_test: exit status 1"
said "kernels: sampling_test passed"  # the last
said "FAILED: golden case relu in bf16: crashed, SIGABRT"
said "golden cases: fp16: [0-9]+ cases, 0 comparisons failed"
said "FAILED: benchmark_models step small .*: crashed, SIGSEGV"
said "figures of decode xl"
said "FAILED: compute-sanitizer memcheck sampling_test: exit status 9"
said "[12][0-9] failed"
not_ran "^(matmul|classifier)_test"
before "sanitizer memcheck norm_test" "sanitizer memcheck attention_test"

# A test that uses up all the time leaves the benchmarks their share.
seconds=15 play 1 attention_backward_test:hang attention_test:hang classifier_test:hang column_sum_test:hang \
  embedding_test:hang
said "FAILED: kernels: sampling_test: left out, no time is left"
said "FAILED: golden cases in fp32: left out, no time is left"
ran "^benchmark_models decode xl"

echo "$failures wrong"
[[ $failures -eq 0 ]]
