"""Checks that source files of one program which were compiled with different options either work or do not link.

    check_abi.py PROJECT_FOLDER [--fix]

--fix first adds the inline namespaces of moderngpt2::cpu and moderngpt2::cuda, and the #include of core/abi.hpp, to files
that lack them; clang-format then sorts the #include lines.

Code that depends on compiler flags or options belongs into an inline namespace whose name depends on them
(include/moderngpt2/core/abi.hpp). Refuses, in include/:

- a namespace moderngpt2::cpu or moderngpt2::cuda that is opened without its inline namespace;
- a preprocessor condition on a flag or option in a file without the inline namespace for it, unless EXCEPTIONS says
  why source files with and without it are the same;
- a file that uses the macros of core/abi.hpp without including it;
- a version in core/abi.hpp other than that of core/version.hpp.

Prints each fault; exit status 1 if there is one. tests/consumers/two_settings.sh links such files.
"""

import re
import sys
from pathlib import Path

ABI = "include/moderngpt2/core/abi.hpp"
INCLUDE = '#include "moderngpt2/core/abi.hpp"\n'

# Flags and options, and the macros of core/abi.hpp whose names depend on them.
SETTINGS = [
    (r"MODERNGPT2_HAVE_ONEDNN", {"CPU"}),
    (r"__(AVX|SSE|FMA|F16C)\w*", {"CPU"}),
    (r"_OPENMP", {"CPU", "THREADS"}),
    (r"MODERNGPT2_CUDA_SIMULATED", {"CUDA"}),
    (r"MODERNGPT2_(HAVE_(?!ONEDNN)|SIMT_)\w+|MODERNGPT2_PRESETS|NDEBUG|__OPTIMIZE__|__FAST_MATH__|__cplusplus|__NO_MATH_ERRNO__",
     set()),
]

# Conditions that need no inline namespace, each with its reason. The names of files begin with the given text.
EXCEPTIONS = {
    ("core/requirements.hpp", "__OPTIMIZE__"): "a message, no code",
    ("model/dispatch.hpp", "MODERNGPT2_PRESETS"): "adds choices to a function; each file's choice is correct",
    ("data/", "MODERNGPT2_HAVE_PARQUET"): "adds classes and fills pointers for the whole program; other code is the same",
    ("backend/cuda/cudnn", "MODERNGPT2_HAVE_CUDNN"): "inline namespaces with_cudnn and without_cudnn",
    ("backend/cuda/simt/", "MODERNGPT2_SIMT_"): "sanitizers, which are flags of a whole program",
    ("backend/cuda/runtime.hpp", "MODERNGPT2_CUDA_SIMULATED"): "selects #include lines",
    ("cli/cpu_check.hpp", "__"): "a static function, in each source file its own",
}


def is_excepted(name, macro):
    """Whether EXCEPTIONS lists a condition on `macro` in the file `name` below include/moderngpt2."""
    return any(name.startswith(file) and macro.startswith(begin) for file, begin in EXCEPTIONS)


def faults_of(name, text):
    """Yields a line for each fault of the header `name`, a path below include/moderngpt2."""
    tags = set(re.findall(r"^namespace [^{;]*\bMODERNGPT2_(CPU|CUDA|THREADS)_ABI", text, re.MULTILINE))
    if tags and INCLUDE not in text:
        yield "uses the macros of core/abi.hpp without including it, so that their names are those of the namespaces"
    for number, line in enumerate(text.splitlines(), 1):
        opened = re.match(r"namespace moderngpt2::(cpu|cuda)(::(?!inline)\w+)* \{", line)
        if opened:
            yield f"{number}: open namespace moderngpt2::{opened[1]}::inline MODERNGPT2_{opened[1].upper()}_ABI {{"
        if not re.match(r"\s*#\s*(if|ifdef|ifndef|elif)\b", line):
            continue
        for pattern, needed in SETTINGS:
            for found in re.finditer(rf"\b(?:{pattern})\b", line):
                if needed & tags or is_excepted(name, found[0]):
                    continue
                if needed:
                    names = " or ".join(f"MODERNGPT2_{tag}_ABI" for tag in sorted(needed))
                    yield f"{number}: code that depends on {found[0]} belongs into the inline namespace {names}"
                else:
                    yield (f"{number}: code that depends on {found[0]}: make it the same in files with and without it, "
                           "then add it to EXCEPTIONS of tests/headers/check_abi.py")


def fixed(text):
    """Returns the text of a header with the inline namespaces of moderngpt2::cpu and moderngpt2::cuda."""
    new = text
    for name in ("cpu", "cuda"):
        new = re.sub(rf"^(namespace |}}  // namespace )moderngpt2::{name}(?!::inline)", rf"\1moderngpt2::{name}::inline "
                     rf"MODERNGPT2_{name.upper()}_ABI", new, flags=re.MULTILINE)
    if new == text or INCLUDE in new:
        return new
    before, opening, rest = re.split(r"^(namespace )", new, maxsplit=1, flags=re.MULTILINE)
    own = list(re.finditer(r'^#include "moderngpt2/[^"]*"\n', before, re.MULTILINE))
    at = own[-1].end() if own else len(before)
    return before[:at] + INCLUDE + ("" if own else "\n") + before[at:] + opening + rest


def main(root, fix):
    faults, files = 0, sorted((root / "include/moderngpt2").rglob("*"))
    files = [f for f in files if f.suffix in (".hpp", ".cuh")]
    for file in files:
        name = file.relative_to(root / "include/moderngpt2").as_posix()
        if name == "core/abi.hpp":
            continue
        text = file.read_text(encoding="utf-8")
        if fix and name.startswith("backend/") and fixed(text) != text:
            text = fixed(text)
            file.write_text(text, encoding="utf-8")
            print(f"include/moderngpt2/{name}: fixed")
        for fault in faults_of(name, text):
            print(f"include/moderngpt2/{name}:{fault}")
            faults += 1
    version = re.search(r'version = "(\d+)\.(\d+)\.', (root / "include/moderngpt2/core/version.hpp").read_text())
    expected = f"#define MODERNGPT2_ABI_VERSION v{version[1]}_{version[2]}\n"
    if expected not in (root / ABI).read_text():
        print(f"{ABI}: the version is that of core/version.hpp: {expected.strip()}")
        faults += 1
    print(f"{len(files)} files, {faults} faults")
    return 1 if faults or not files else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), "--fix" in sys.argv[2:]))
