"""Finds objects that are used after a move, by clang-tidy's bugprone-use-after-move, in headers and programs.

    check_moves.py CLANG_TIDY FLAGS_FILE ALL_HEADERS PROGRAM...

All are compiled as one file, each program in a namespace of its own, because headers take most of the time. The check
knows variables and parameters, not elements of containers: `list[i]` after `std::move(list[i])` is not found.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

EXTERN_TEMPLATE = re.compile(r"^extern template [^;]*;", re.M)  # not allowed inside a namespace
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"][^>"]+[>"]).*$', re.M)
PLANTED = """#include <string>
#include <utility>
std::string planted(std::string text) {
  std::string other = std::move(text);
  return other + text;
}
"""


def unit(headers, programs):
    """One source of all headers and programs."""
    texts = [program.read_text(encoding="utf-8") for program in programs]
    includes = sorted({name for text in texts for name in INCLUDE.findall(text)})
    lines = [f'#include "{headers}"', *(f"#include {name}" for name in includes)]
    for number, (program, text) in enumerate(zip(programs, texts)):
        body = EXTERN_TEMPLATE.sub("", INCLUDE.sub("", text)).replace("int main(", "int main_of_program(")
        lines += [f"namespace program_{number} {{", f'#line 1 "{program}"', body, "}"]
    return "\n".join(lines) + "\n"


def main(clang_tidy, flags_file, headers, *programs):
    flags = [line[1:-1] if line.startswith('"') else line.replace('\\"', '"')
             for line in Path(flags_file).read_text().splitlines()]

    def check(text):
        with tempfile.NamedTemporaryFile("w", suffix=".cpp") as file:
            file.write(text)
            file.flush()
            return subprocess.run([clang_tidy, "--quiet", "--checks=-*,bugprone-use-after-move", "--warnings-as-errors=*",
                                   "--header-filter=.*", file.name, "--", "-std=c++20", "-fopenmp", *flags],
                                  text=True, check=False, capture_output=True)

    if "bugprone-use-after-move" not in check(PLANTED).stdout:
        sys.exit(f"{clang_tidy} does not find a use after a move that was planted")
    done = check(unit(Path(headers).resolve(), [Path(p) for p in programs]))
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
