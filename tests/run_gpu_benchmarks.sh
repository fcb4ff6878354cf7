#!/usr/bin/env bash
# shellcheck disable=SC2154,SC2034 # variables and functions of run_gpu.sh
# Benchmarks of run_gpu.sh, which sources this file: kernels, training and decoding, and PyTorch if it is installed.

heard() { tee -a "$results/benchmarks.txt" | while read -r line; do say "$line"; done; }
# measure SECONDS COMMAND...: runs a benchmark and reports its output as it appears
measure() {
  attempt "$(limit "$1")" "${@:2}" 2>&1 | heard
  local status=${PIPESTATUS[0]}
  case $status in
    0) ;;
    124 | "$left_out") say "$(what_of "$status"): $(basename "$2") ${*:3}" ;;
    *) fail "$(basename "$2") ${*:3}: $(what_of "$status")" ;;
  esac
}
# measure_torch SIZE BATCH: reports the mean of ten training steps by PyTorch
measure_torch() {
  # shellcheck disable=SC2016 # $ in awk's program
  yes | head -10 | attempt "$(limit 90)" python3 benchmarks/peers/torch_model.py step "$1" bf16 compile "$2" 1024 0 1 cuda \
    2>>"$results/build.txt" | awk -v n="$2" -v size="$1" 'NR > 1 { s += $1; ++k }
    END { if (k) printf "PyTorch, training %s: batch %d x 1024, %.0f tokens/s\n", size, n, n * 1024 * k / s
          else printf "PyTorch, training %s: not finished in its time\n", size }' | heard
}

# peak_of GPU: prints NVIDIA's figure of TFLOP/s in bf16 with fp32 sums, without sparsity; nothing for other GPUs
peak_of() {
  case $1 in
    *"H100 PCIe"*) echo 756 ;;
    *"H100 NVL"* | *"H200 NVL"*) echo 835 ;;
    *H100* | *H200*) echo 989 ;;  # includes GH200
    *GB200*) echo 2500 ;;
    *B200*) echo 2250 ;;
    *B100*) echo 1750 ;;
    *A100* | *A800*) echo 312 ;;
    *L40S*) echo 362 ;;
    *A6000*) echo 155 ;;
    *"RTX 4090"*) echo 165 ;;
  esac
}

if wanted benchmarks && [[ -n $gpu ]]; then
  peak=$(peak_of "$gpu")
  [[ ! -x $build/benchmark_kernels ]] || measure 60 "$build/benchmark_kernels" "${peak:-0}"
  [[ ! -x $build/benchmark_kernels_with_cudnn ]] || measure 40 "$build/benchmark_kernels_with_cudnn" "${peak:-0}" cudnn
  sizes=("small 32" "medium 32" "large 32" "xl 16")
  if [[ -x $build/benchmark_models ]]; then
    for size in "${sizes[@]}"; do
      # shellcheck disable=SC2086 # size and batch
      measure 45 "$build/benchmark_models" step $size 1024 "${peak:-0}"
    done
    measure 45 "$build/benchmark_models" step medium 32 1024 "${peak:-0}" searched
    measure 30 "$build/benchmark_models" step small 32 1024 "${peak:-0}" graph
    measure 30 "$build/benchmark_models" step small 1 256 "${peak:-0}"
    measure 30 "$build/benchmark_models" step small 1 256 "${peak:-0}" graph
    [[ ! -x $build/benchmark_models_with_cudnn ]] ||
      measure 30 "$build/benchmark_models_with_cudnn" step small 32 1024 "${peak:-0}" cudnn
    measure 30 "$build/benchmark_models" decode small 1 1024 128
    measure 30 "$build/benchmark_models" decode small 32 1024 128
    measure 30 "$build/benchmark_models" decode xl 1 1024 64
  fi
  if timeout 60 python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    for size in "${sizes[@]}"; do
      read -r name batch <<<"$size"
      measure_torch "$name" "$batch"
    done
  else
    say "PyTorch: skipped, it is not installed or sees no GPU"
  fi
fi
