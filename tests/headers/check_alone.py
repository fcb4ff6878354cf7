"""Compiles each header and each source on its own, without output, warnings being errors.

    check_alone.py COMPILER FLAGS_FILE HUBS FILES

COMPILER is a clang; HUBS and FILES hold paths, one a line. A hub is a header that many files include, and is itself
among the files. It is precompiled, which checks it, and stands for itself in the files that reach it through their
includes: such a file sees all of the hub in any case, so that an include that is missing is missed as without it.
"""

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)


class Includes:
    """Project files that a file includes, directly or not."""

    def __init__(self, folders):
        self.folders = folders
        self.known = {}

    def reached(self, path):
        if path not in self.known:
            self.known[path] = {path}  # ends a circle, which tests/include_order refuses
            for name in INCLUDE.findall(path.read_text(encoding="utf-8")):
                found = [f / name for f in [path.parent, *self.folders] if (f / name).is_file()]
                if found:
                    self.known[path] |= self.reached(found[0].resolve())
        return self.known[path]


def main(compiler, flags_file, hubs_file, files_file):
    hubs, files = ([Path(p).resolve() for p in Path(f).read_text().splitlines()] for f in (hubs_file, files_file))
    flags = [line.strip('"') for line in Path(flags_file).read_text().splitlines()]
    includes = Includes([Path(f[2:]) for f in flags if f.startswith("-I")])
    hubs.sort(key=lambda hub: len(includes.reached(hub)), reverse=True)
    command = [compiler, "-std=c++20", "-fopenmp", "-Wall", "-Wextra", "-Werror", f"@{flags_file}"]

    def run(path, *arguments):
        """Messages of the compiler for an empty file that includes a header, or for a source."""
        is_source = path.suffix == ".cpp"
        done = subprocess.run([*command, *arguments, str(path) if is_source else "-"], text=True, check=False,
                              input=None if is_source else f'#include "{path}"\n', capture_output=True)
        return done.stdout + done.stderr if done.returncode else ""

    with tempfile.TemporaryDirectory(dir=".") as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        precompiled = {hub: f"{folder}/{number}.pch" for number, hub in enumerate(hubs)}

        def check(path):
            if path in precompiled:
                return run(path, "-x", "c++-header", "-o", precompiled[path])
            hub = next((h for h in hubs if h in includes.reached(path)), None)
            return run(path, "-fsyntax-only", *(["-include-pch", precompiled[hub]] if hub else []), "-x", "c++")

        faults = 0
        for paths in (hubs, sorted(set(files) - set(hubs), key=lambda p: p.stat().st_size, reverse=True)):
            for path, said in zip(paths, pool.map(check, paths)):
                if said:
                    faults += 1
                    print(f"{path} does not compile alone:", *said.splitlines()[:40], sep="\n")
            if faults:
                return 1
    print(f"{len(set(files) | set(hubs))} files compile alone")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
