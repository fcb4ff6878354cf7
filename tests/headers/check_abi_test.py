"""Checks that check_abi.py and check_needs.py find each kind of fault, and none in sound headers."""

import check_abi
import check_needs

TAG = "namespace moderngpt2::{0}::inline MODERNGPT2_{1}_ABI {{\n{2}\n}}\n"
INCLUDE = '#include "moderngpt2/core/abi.hpp"\n'
CPU, CUDA, THREADS = (INCLUDE + TAG.format(*names, "{}") for names in
                      (("cpu", "CPU"), ("cuda", "CUDA"), ("detail", "THREADS")))
ONEDNN = "#ifdef MODERNGPT2_HAVE_ONEDNN\n#endif\n"

FAULTS = [
    ("backend/cpu/a.hpp", "namespace moderngpt2::cpu {\n}\n"),
    ("backend/cuda/a.hpp", "namespace moderngpt2::cuda::detail {\n}\n"),
    ("backend/cpu/a.hpp", TAG.format("cpu", "CPU", "")),  # without the #include
    ("backend/host.hpp", ONEDNN),
    ("backend/cuda/a.hpp", ONEDNN + CUDA),
    ("core/a.hpp", "#if defined(_OPENMP)\n#endif\n"),
    ("core/a.hpp", "#if X && defined(__AVX2__)\n#endif\n" + THREADS),
    ("backend/cpu/a.hpp", "#ifdef MODERNGPT2_HAVE_PARQUET\n#endif\n" + CPU),
    ("backend/cuda/a.hpp", "#ifndef MODERNGPT2_HAVE_CUDNN\n#endif\n" + CUDA),
    ("model/a.hpp", "#ifdef MODERNGPT2_PRESETS\n#endif\n"),
    ("io/a.hpp", "#ifndef NDEBUG\n#endif\n"),
]
SOUND = [
    ("backend/cpu/a.hpp", ONEDNN + CPU),
    ("backend/cpu/a.hpp", "#if defined(__AVX512F__)\n#elif defined(_OPENMP)\n#endif\n" + CPU),
    ("core/a.hpp", "#ifdef _OPENMP\n#endif\n" + THREADS),
    ("backend/cuda/a.cuh", "#ifdef MODERNGPT2_CUDA_SIMULATED\n#endif\n" + CUDA),
    ("data/a.hpp", "#ifdef MODERNGPT2_HAVE_PARQUET\n#endif\n"),
    ("model/dispatch.hpp", "#ifdef MODERNGPT2_PRESETS\n#endif\n"),
    ("core/a.hpp", "#ifdef __linux__\n#endif\n// namespace moderngpt2::cpu {\nnamespace moderngpt2 {\n}\n"),
]
for name, text in FAULTS:
    assert list(check_abi.faults_of(name, text)), (name, text)
for name, text in SOUND:
    assert not list(check_abi.faults_of(name, text)), (name, text, list(check_abi.faults_of(name, text)))

plain = '#pragma once\n\n#include "moderngpt2/core/view.hpp"\n\nnamespace moderngpt2::cpu {\n}  // namespace moderngpt2::cpu\n'
mended = check_abi.fixed(plain)
assert not list(check_abi.faults_of("backend/cpu/a.hpp", mended)) and check_abi.fixed(mended) == mended
assert mended.count("MODERNGPT2_CPU_ABI") == 2, mended

ZLIB = '#if !__has_include(<zlib.h>)\n#error "moderngpt2: <zlib.h> not found: link {}"\n#endif\n'
assert list(check_needs.missing_messages("#include <zlib.h>\n"))
assert list(check_needs.missing_messages("#include <unknown/library.hpp>\n"))
assert list(check_needs.missing_messages(ZLIB.format("moderngpt2::cli") + "#include <zlib.h>\n"))
assert list(check_needs.missing_messages("#include <zlib.h>\n" + ZLIB.format("moderngpt2::data")))
assert not list(check_needs.missing_messages(ZLIB.format("moderngpt2::data") + "#include <zlib.h>\n"))
assert not list(check_needs.missing_messages("#include <vector>\n#include <sys/stat.h>\n#include <fmt/format.h>\n"))
print(f"{len(FAULTS) + 4} faults found")
