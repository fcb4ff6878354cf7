#!/usr/bin/env bash
# Builds the project and tests it. See --help.
# shellcheck disable=SC2317  # functions are called by stage()
set -euo pipefail

usage() {
  cat <<'TEXT'
Installs what the tests need, builds programs and tests, and runs them.

Usage: tests/run.sh [--all | --area NAME] [--no_install]

  (no option)    what every change must pass: programs, every area, one build for the simulated GPU, documentation, a
                 build without optional dependencies. At most 25 minutes on two cores from a fresh clone
  --all          everything, for releases: also each file alone by clang, sanitizers, every build for the simulated GPU,
                 nvcc for all architectures, fuzzers, builds without each optional dependency, packages, freshly
                 installed systems. Several hours. A stage that fails does not stop the next ones
  --area NAME    builds and runs the tests of one area, for daily work: a folder of tests/ such as layers, or data (its
                 tests are in tests/dataset/) or cuda (tests/backend/cuda/)
  --no_install   installs nothing
  --help         shows this and exits

Exit status: 0 everything passed; 1 a stage failed; 2 wrong usage. docs/testing.md lists the tests of each size.
TEXT
}

misuse() {
  echo "run: error: $*" >&2
  echo "Try 'tests/run.sh --help'." >&2
  exit 2
}

size=quick
area=
install_packages=yes
while [ $# -gt 0 ]; do
  case $1 in
    --all) size=all ;;
    --area)
      [ $# -ge 2 ] || misuse "--area needs a name"
      size=area
      area=$2
      shift
      ;;
    --area=*)
      size=area
      area=${1#*=}
      ;;
    --no_install) install_packages= ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) misuse "unknown option $1" ;;
  esac
  shift
done

cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
export HOME
jobs=$(nproc)

# ---- stages and their times

stages=()
failures=0
skipped=0

# stage TITLE COMMAND...: runs a command. A failure ends this script, but with --all is only counted. Exit status 77
# means that this machine cannot run the command: the stage is skipped.
stage() {
  local title=$1 begin=$SECONDS status=0 result=passed
  shift
  printf '\n== %s\n' "$title"
  "$@" || status=$?
  if [ "$status" = 77 ]; then
    result=skipped
    skipped=$((skipped + 1))
  elif [ "$status" != 0 ]; then
    result=FAILED
    failures=$((failures + 1))
  fi
  stages+=("$(printf '%6d s  %-7s  %s' $((SECONDS - begin)) "$result" "$title")")
  if [ "$result" = FAILED ] && [ "$size" != all ]; then finish; fi
}

finish() {
  printf '\n== stages (%d s in all)\n' "$SECONDS"
  printf '%s\n' "${stages[@]}"
  if [ "$failures" -gt 0 ]; then
    echo "run: $failures of ${#stages[@]} stages failed" >&2
    exit 1
  fi
  [ "$skipped" = 0 ] || echo "$skipped of ${#stages[@]} stages were skipped, for the reasons printed above"
  exit 0
}

# Without SUDO_USER, wheels are unpacked into the cache of $HOME, where CMake looks, also under sudo.
install() { env -u SUDO_USER bash cmake/install_dependencies.sh "$@"; }

# build PRESET [ARGUMENT...]
build() {
  local preset=$1
  shift
  cmake --preset "$preset" && cmake --build --preset "$preset" -j "$jobs" "$@"
}

# build_and_test PRESET AREA...: the named areas under a preset that has a build folder of its own.
build_and_test() {
  local preset=$1
  shift
  build "$preset" --target "${@/#/test_}" && ctest --preset "$preset" -j "$jobs" -R "^($(IFS='|' && echo "$*"))\$"
}

kernels_by_nvcc() {
  if ! command -v nvcc >/dev/null; then
    echo "skipped: nvcc is not installed, so CUDA kernels run on the simulated GPU only"
    return 77
  fi
  cmake --build --preset all --target golden_gpu cuda_benchmark_kernels cuda_benchmark_models
}

# ---- what runs

if [ "$size" = area ]; then
  case $area in
    core | config | backend | layers | model | generation | io | tokenizer | data | distributed | training | run | cli | \
      testing | examples)
      targets=("test_$area")
      tests="^$area\$"
      ;;
    cuda)
      targets=(test_cuda_simulated planted golden_check_simulated)
      tests='cuda|planted'
      ;;
    programs | faults | docs | headers | consumers | memory | compile_fail | include_order)
      targets=(all)
      case $area in
        programs) tests='^(programs|original_commands|jobs|pretrain|ranks|openmp.*|golden_.*|custom_.*|train_on_text)$' ;;
        docs) tests='^(readme.*|tool_pages|flags_in_pages|tutorial|recipes|completion)$' ;;
        headers) tests='^(two_units|needs|abi.*|words.*|each_file_alone)$' ;;
        consumers) tests='^(consumer_.*|two_settings.*|parquet_in_one_file|strict_.*|messages|add_model|installed_programs)$' ;;
        memory) tests='^memory_plan' ;;
        *) tests="^$area" ;;
      esac
      ;;
    *) misuse "unknown area '$area' (expected a folder of tests/ such as layers, or data or cuda)" ;;
  esac
  [ -z "$install_packages" ] || stage "Install dependencies" install --tests
  stage "Build $area" build ci --target "${targets[@]}"
  stage "Test $area" ctest --preset ci -j "$jobs" -R "$tests"
  finish
fi

if [ "$size" = quick ]; then
  [ -z "$install_packages" ] || stage "Install dependencies" install --tests
  stage "Build programs and tests with warnings as errors" build ci
  stage "Run the tests" ctest --preset ci -j "$jobs"
  stage "Build without optional dependencies" bash tests/absent/check.sh build/absent all
  finish
fi

[ -z "$install_packages" ] || stage "Install dependencies" install --all-tests
stage "Build programs, tests and benchmarks with warnings as errors" build all
stage "Run the tests" ctest --preset all -j "$jobs"
stage "AddressSanitizer and UndefinedBehaviorSanitizer" build_and_test asan core config io tokenizer data distributed
stage "clang and ThreadSanitizer on the parallel loops and on threads that share a model" build_and_test tsan core threads
stage "CUDA kernels by nvcc for all architectures, and models linked with them" kernels_by_nvcc
stage "Fuzzers" bash tests/fuzz/run.sh 60
stage "Build without each optional dependency, and without all" bash tests/absent/check.sh build/absent each all
stage "Packages on freshly installed systems" bash tests/packages.sh
for system in debian12 ubuntu24.04; do
  stage "README's commands on a freshly installed $system" bash tests/bare_machine.sh "$system"
done
finish
