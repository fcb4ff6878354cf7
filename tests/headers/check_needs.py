"""Compares cmake/needs.txt with the #include directives: each file that includes a third-party header, directly or
through headers of this project, must match a line there that names the header's component.

    check_needs.py PROJECT_FOLDER

An #include between #ifdef MODERNGPT2_HAVE_X and its #else or #endif is not a need: the file builds without X.

Also checks that each third-party #include of include/ follows a message for users without the library:

    #if !__has_include(<zlib.h>)
    #error "moderngpt2: <zlib.h> not found: link moderngpt2::data (find_package(moderngpt2 COMPONENTS data))"
    #endif
    #include <zlib.h>

core/requirements.hpp, which moderngpt2.hpp and core/error.hpp include, has the message for fmt.
"""

import re
import sys
from functools import cache
from pathlib import Path

COMPONENTS = {
    "cli": r"CLI/",
    "data": r"(zstd\.h|zlib\.h|yaml-cpp/)",
    "parquet": r"(arrow|parquet)/",
    "tokenizer_training": r"sentencepiece",
    "mpi": r"mpi\.h",
    "nccl": r"nccl\.h",
}
# Third-party headers, and the target that a user links to have them.
TARGETS = {
    r"fmt/": "moderngpt2::moderngpt2",
    r"(Eigen/|nlohmann/|xxhash\.h|pcre2\.h|utf8proc\.h|dnnl)": "moderngpt2::moderngpt2",
    r"CLI/": "moderngpt2::cli",
    r"(zstd\.h|zlib\.h|yaml-cpp/|arrow/|parquet/)": "moderngpt2::data",
    r"sentencepiece": "moderngpt2::tokenizer_training",
    r"mpi\.h": "moderngpt2::mpi",
    r"(cuda|cublas|cudnn|nccl)": "moderngpt2::cuda",
}
# Headers of the compiler and the system: C++'s have neither a dot nor a folder.
SYSTEM = re.compile(r"^([a-z_]+|(sys|sanitizer)/\w+\.h|(dlfcn|errno|fcntl|glob|immintrin|netdb|omp|poll|pthread|sched|"
                    r"signal|spawn|stdio|stdlib|string|termios|time|ucontext|unistd|xmmintrin)\.h|(arpa|netinet)/\w+\.h)$")
MESSAGE = re.compile(r'#if [^\n]*!__has_include\(<[^\n]*\n#error[ \\\n]*"moderngpt2: ([^"]*)"\n#endif\n')
INCLUDE = re.compile(r'\s*#\s*include\s*(["<])([^">]+)[">]')
LINE = re.compile(r"^(.*): ([a-z_ ]+)$")


def included(path):
    """Yields (is in angle brackets, name) of each #include outside of #ifdef MODERNGPT2_HAVE_... blocks."""
    optional = []
    for line in path.read_text(encoding="utf-8").splitlines():
        directive = re.match(r"\s*#\s*(ifdef|if|ifndef|else|elif|endif)\b(.*)", line)
        if directive:
            kind, rest = directive.groups()
            if kind in ("if", "ifdef", "ifndef"):
                optional.append(kind == "ifdef" and rest.strip().startswith("MODERNGPT2_HAVE_"))
            elif kind == "endif":
                optional.pop()
            else:
                optional[-1] = False
        elif not any(optional) and (found := INCLUDE.match(line)):
            yield found[1] == "<", found[2]


@cache
def included_by(path):
    """The includes of a file as a list, read once."""
    return list(included(path))


def reached(path, root):
    """Returns the components whose headers a file includes, directly or not."""
    seen, pending, found = set(), [path], set()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        for is_system, name in included_by(current):
            if is_system:
                found |= {c for c, pattern in COMPONENTS.items() if re.match(pattern, name)}
            else:
                folders = (current.parent, root / "include", root / "tests", root / "examples")
                pending += [f for f in (folder / name for folder in folders) if f.is_file()][:1]
    return found


def missing_messages(text):
    """Yields a line for each third-party #include in the text of a header without a message for users who lack it."""
    messages = [(found.end(), found[0]) for found in MESSAGE.finditer(text)]
    for found in re.finditer(r"^\s*#\s*include\s*<([^>]+)>", text, re.MULTILINE):
        if SYSTEM.match(found[1]):
            continue
        target = next((t for pattern, t in TARGETS.items() if re.match(pattern, found[1])), None)
        if target is None:
            yield f"<{found[1]}>: add it to TARGETS or SYSTEM of tests/headers/check_needs.py"
        elif not found[1].startswith("fmt/") and not any(end <= found.start() and target in message
                                                         for end, message in messages):
            yield (f"<{found[1]}>: precede it by #if !__has_include(<{found[1]}>) and an #error that begins with "
                   f"\"moderngpt2: \" and names {target}")


def main(root):
    declared = [found for line in (root / "cmake/needs.txt").read_text(encoding="utf-8").splitlines()
                if not line.startswith("#") and (found := LINE.match(line))]
    used = set()
    faults = 0
    files = [f for folder in ("include", "examples", "tests", "benchmarks") for f in sorted((root / folder).rglob("*"))
             if f.suffix in (".hpp", ".cpp") and "consumers" not in f.parts]
    for file in files:
        name = file.relative_to(root).as_posix()
        matching = [line for line in declared if re.search(line[1], name)]
        used |= {line[0] for line in matching}
        needs = {need for line in matching for need in line[2].split()}
        if name.startswith("tests/") and not name.endswith("_test.cpp"):
            continue  # a part of tests, or a program with a rule of its own
        if name.startswith("include/"):
            for message in missing_messages(file.read_text(encoding="utf-8")):
                faults += 1
                print(f"{name}: {message}")
        for component in sorted(reached(file, root) - needs):
            faults += 1
            print(f"{name} includes headers of {component}: add a line to cmake/needs.txt")
    for line in declared:
        if line[0] not in used:
            faults += 1
            print(f"cmake/needs.txt: no file matches {line[1]}")
        for need in set(line[2].split()) - set(COMPONENTS):
            faults += 1
            print(f"cmake/needs.txt: unknown component {need}")
    print(f"{len(files)} files, {len(declared)} lines, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
