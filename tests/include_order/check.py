"""Checks the include order and the other house rules that an include line can break.

    check.py ROOT

ROOT is the project (or a folder of the same form). Prints one line for each fault; exit status 1 if there is one.
"""

import re
import sys
from pathlib import Path

# A header may include its own folder and earlier ones.
ORDER = ["core", "config", "backend", "layers", "model", "generation", "io", "tokenizer", "data", "distributed",
         "training", "run", "cli", "testing"]

# The umbrella excludes headers that are slow to compile or need more than the basic packages.
UMBRELLA = "moderngpt2/moderngpt2.hpp"
NOT_UNDER_UMBRELLA = re.compile(r"(CLI|arrow|parquet)/|sentencepiece_trainer\.h|mpi\.h|nccl\.h|moderngpt2/cli/")

# Third-party headers that one file alone may see.
ONLY_IN = [
    (re.compile(r"Eigen/"), {"moderngpt2/backend/cpu/gemm.hpp", "moderngpt2/backend/cuda/simt/blas.hpp"}),
    (re.compile(r"dnnl"), {"moderngpt2/backend/cpu/gemm.hpp"}),
    (re.compile(r"^cuda\.h$|cuda_runtime|cuda_bf16|cuda_fp16"), {"moderngpt2/backend/cuda/runtime.hpp"}),
    (re.compile(r"cudnn"), {"moderngpt2/backend/cuda/cudnn_attention.hpp"}),
    (re.compile(r"cublas\w*\.h$"), {"moderngpt2/backend/cuda/cublaslt.hpp"}),
    (re.compile(r"mpi\.h"), {"moderngpt2/distributed/mpi_session.hpp"}),
    (re.compile(r"nccl\.h"), {"moderngpt2/distributed/nccl.hpp"}),
    (re.compile(r"omp\.h"), {"moderngpt2/core/parallel.hpp"}),
]

# nvcc compiles kernels, and these are the only headers of the CUDA backend that it reads: no host classes.
CUDA = "moderngpt2/backend/cuda/"
KERNELS = CUDA + "kernels/"
SEEN_BY_KERNELS = re.compile(CUDA + r"((kernels|simt)/|(device\.cuh|(runtime|launch)\.hpp)$)")

# Command-line flags belong to programs: elsewhere, messages name settings by Setting{"zero_stage"} (core/error.hpp).
# MAY_NAME_FLAGS lists the folders of programs. Texts of --help (Field::help) may name other flags.
MAY_NAME_FLAGS = {"run", "cli", "testing"}
FOREIGN_FLAGS = {"--mem", "--mpi"}  # srun's
STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9_]*")

# Headers that may depend on the simulated GPU. All others are compiled alike for it and for a GPU.
SIMULATED = "MODERNGPT2_CUDA_SIMULATED"
KNOW_SIMULATED = {CUDA + name for name in ("runtime.hpp", "backend.hpp", "cublaslt.hpp")}

# Argument structs of kernels, and where nvcc is asked for their code.
LAUNCHES = re.compile(r"^struct (\w+) \{\n(?:(?!^\};).*\n)*?  void launch\(cudaStream_t", re.M)
INSTANTIATES = re.compile(r"^(?:MODERNGPT2_CUDA_INSTANTIATE\w*\(|template struct )(\w+)", re.M)

# Classes at namespace scope. Those of the CUDA backend have other names than those of training/, which readers meet in
# the same stack traces.
CLASS = re.compile(r"^(?:class|struct|enum class) (?:alignas\(.*\) )?(\w+)[^;\n]*\{", re.M)

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
PROJECT = "moderngpt2/"


def folder_of(name):
    """The folder below moderngpt2/ of an include path, or None for a file that lies right in it."""
    parts = name.split("/")
    return parts[1] if len(parts) > 2 else None


def rank(name):
    if name == UMBRELLA:
        return len(ORDER)
    folder = folder_of(name)
    return ORDER.index(folder) if folder in ORDER else None


def includes_of(path):
    """(line number, is quoted, name) of each include."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if match := INCLUDE.match(line):
            yield number, match[1] == '"', match[2]


def flags_of(text):
    """(line number, flag) of each command-line flag in a message."""
    for number, line in enumerate(text.splitlines(), 1):
        if "--" in line and not line.lstrip().startswith("//") and ".help = " not in line:
            for literal in STRING.findall(line):
                yield from ((number, flag) for flag in FLAG.findall(literal) if flag not in FOREIGN_FLAGS)


def check_header(include_folder, name, faults):
    path = include_folder / name
    if rank(name) is None:
        faults.append(f"{name}: its folder has no place in the include order")
        return
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".hpp" and not re.search(r"^#pragma once$", text, re.M):
        faults.append(f"{name}: no #pragma once")
    if "#pragma omp" in text and name != "moderngpt2/core/parallel.hpp":
        faults.append(f"{name}: OpenMP pragmas belong in moderngpt2/core/parallel.hpp alone")
    if folder_of(name) not in MAY_NAME_FLAGS:
        for number, flag in flags_of(text):
            faults.append(f"{name}:{number}: {flag} in a message, use Setting{{\"{flag[2:]}\"}} (core/error.hpp)")
    for number, quoted, other in includes_of(path):
        where = f"{name}:{number}: {other}"
        if quoted != other.startswith(PROJECT):
            faults.append(f"{where}: project headers stand in quotes from moderngpt2/ on, all others in <>")
        elif not quoted:
            for pattern, allowed in ONLY_IN:
                if pattern.match(other) and name not in allowed:
                    faults.append(f"{where}: is for {', '.join(sorted(allowed))} alone")
        elif not (include_folder / other).is_file():
            faults.append(f"{where}: no such file")
        elif rank(other) is not None and rank(other) > rank(name):
            faults.append(f"{where}: {folder_of(name)} comes before {folder_of(other)}")
        elif name.startswith(KERNELS) and other.startswith(CUDA) and not SEEN_BY_KERNELS.match(other):
            faults.append(f"{where}: kernels do not see the host's part of the CUDA backend")


def check_cuda(include_folder, names, faults):
    """Kernels are compiled for GPUs and the simulated GPU alike, and by nvcc completely."""
    text = {name: (include_folder / name).read_text(encoding="utf-8") for name in names}
    training = {c: name for name in names if folder_of(name) == "training" for c in CLASS.findall(text[name])}
    for name in (n for n in names if n.startswith(CUDA)):
        if re.search(rf"^#\s*if.*{SIMULATED}", text[name], re.M) and name not in KNOW_SIMULATED:
            faults.append(f"{name}: only {', '.join(sorted(KNOW_SIMULATED))} depend on {SIMULATED}")
        for entry in sorted(set(LAUNCHES.findall(text[name])) - set(INSTANTIATES.findall(text[name]))):
            faults.append(f"{name}: nvcc compiles no {entry}: add MODERNGPT2_CUDA_INSTANTIATE({entry}); at the end")
        faults.extend(f"{name}: {c} is also a class of {training[c]}" for c in CLASS.findall(text[name]) if c in training)


def check_cycles(include_folder, names, faults):
    """No header reaches itself."""
    done, path = set(), []

    def visit(name):
        if name in path:
            faults.append(f"{' -> '.join(path[path.index(name):] + [name])}: a circle of includes")
        elif name not in done:
            path.append(name)
            for _, quoted, other in includes_of(include_folder / name):
                if quoted and (include_folder / other).is_file():
                    visit(other)
            path.pop()
            done.add(name)

    for name in names:
        visit(name)


def check_umbrella(include_folder, faults):
    pending, came_from = [UMBRELLA], {UMBRELLA: None}
    while pending:
        name = pending.pop()
        for _, _, other in includes_of(include_folder / name):
            if NOT_UNDER_UMBRELLA.match(other):
                chain = [other, name]
                while came_from[chain[-1]]:
                    chain.append(came_from[chain[-1]])
                faults.append(f"{' -> '.join(reversed(chain))}: not under the umbrella")
            elif other not in came_from and (include_folder / other).is_file():
                came_from[other] = name
                pending.append(other)


def main(root):
    include_folder = Path(root) / "include"
    paths = sorted(p for p in include_folder.rglob("*") if p.suffix in (".hpp", ".cuh"))
    names = [p.relative_to(include_folder).as_posix() for p in paths]
    faults = []
    for name in names:
        check_header(include_folder, name, faults)
    check_cycles(include_folder, names, faults)
    check_cuda(include_folder, names, faults)
    if (include_folder / UMBRELLA).is_file():
        check_umbrella(include_folder, faults)
    print("\n".join(faults) if faults else f"{len(names)} headers keep the order")
    return 1 if faults or not names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
