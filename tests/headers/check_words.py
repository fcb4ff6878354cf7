"""Checks the wording of comments, messages and pages.

    check_words.py PROJECT_FOLDER

Refuses comments that begin with a word which only makes sense after another sentence ("The same", "Of", "What", "Who",
a pronoun), the phrases in PHRASES, for which it suggests established terms, and lines of more than 120 columns (in
scripts: of comments). Prints each fault; exit status 1 if there is one.

Openings are checked in comments, docstrings and the option tables of docs/tools/, which contain the texts of --help.
"As" may begin a comment after code ("as in GPT-2").
"""

import re
import sys
from pathlib import Path

FOLDERS = ("include", "examples", "benchmarks", "tests", "cmake", "docs")
SUFFIXES = (".hpp", ".cpp", ".cuh", ".cu", ".py", ".cmake", ".in", ".sh", ".md", "CMakeLists.txt")
SLASHES = (".hpp", ".cpp", ".cuh", ".cu")
# Test data, the words of generated stories and dialogues, and the two files that hold the refused words themselves.
LEFT_OUT = re.compile(r"^tests/data/|/(stories|dialogues)_(english|japanese)|/dialogue_words\.hpp$|/check_words")

OPENING = re.compile(
    r"(the same|of|what|whatever|who|whom|whose|which|that|those|these|as|it|its|they|them|their|theirs|he|his|such|"
    r"likewise|others|whether it is there|this (is|was|has|had|holds|keeps|makes|does))\b(?!`)", re.IGNORECASE)

PHRASES = {
    r"(is|are|was|were|be) had\b": "exists, is available, is allocated",
    r"(is|are|was|were|be|being) told\b": "receives, is notified, is reported",
    r"heed(s|ed|ing)?\b": "uses, applies",
    r"outrank(s|ed|ing)?\b": "overrides, takes precedence",
    r"by chance\b": "randomly",
    r"(in|by) turns\b": "alternately, in rotation",
    r"of a kind\b": "of the same type",
    r"as (it|they) (lies?|likes?|comes?)\b": "in order, unchanged",
    r"what holds\b": "the condition, the invariant",
    r"with what it has\b": "with the available ...",
    r"patience\b": "timeout",
    r"(is|are) there\b(?! (an?|any|no|one|enough)\b)": "available, present, resident, complete",
    r"those (that )?there are\b": "the available ...",
    r"as many as there are\b": "all",
    r"there (is|are)(?=\s*([.,;)\"|]|$))": "available, present",
}
# The lookbehind keeps questions ("how many are there").
PHRASE = re.compile(r"(?<!many )\b(?:" + "|".join(PHRASES) + ")", re.IGNORECASE)

COLUMNS = 120
DOC_TABLE = re.compile(r"^\| `--[^|]*\|[^|]*\| (.*?) *\|")
QUOTED = re.compile(r"`[^`]*`")
COMMENT = {
    "slashes": re.compile(r"(?P<code>.*?)(?P<mark>(?<![:\"/])///?<?(?!/))(?P<text>.*)"),
    "hash": re.compile(r"(?P<code>.*?)(?P<mark>(?:^|(?<=\s))#)(?P<text>(?!!).*)"),
}


def established_term(found):
    """The replacement that PHRASES suggests for a phrase that was found."""
    return next(term for phrase, term in PHRASES.items() if re.match(phrase.split("(?=")[0], found, re.IGNORECASE))


def faults_of_text(number, text, opens):
    """Faults of a comment or a table cell that begins in line `number`."""
    text = QUOTED.sub("``", text)
    if opens and (found := OPENING.match(text)):
        yield number, f"begins with '{found[0]}': name the thing first"
    for found in PHRASE.finditer(text):
        yield number, f"'{found[0]}': {established_term(found[0])}"


def faults_of_code(lines, kind):
    """Faults of a file with comments: of each block of comment lines, each trailing comment and each code line."""
    pattern, quick = COMMENT[kind], "//" if kind == "slashes" else "#"
    block, begin = [], 0
    for number, line in enumerate([*lines, ""], 1):
        match = pattern.match(line) if quick in line else None
        whole_line = match is not None and not match["code"].strip()
        if whole_line and not match["mark"].endswith("<"):
            if not block:
                begin = number
            block.append(match["text"].strip())
            continue
        if block:
            yield from faults_of_text(begin, " ".join(block).strip(), True)
            block = []
        if match:
            text = match["text"].strip()
            yield from faults_of_text(number, text, match["mark"] == "///<" or not text.lower().startswith("as "))
            line = match["code"]
        if line:
            yield from faults_of_text(number, line, False)


def faults_of(name, lines):
    """Yields (line number, text) of each fault of the file `name`."""
    if name.endswith(".md"):
        for number, line in enumerate(lines, 1):
            cell = DOC_TABLE.match(line) if name.startswith("docs/tools/") else None
            if cell and OPENING.match(cell[1]):
                yield number, f"--help begins with '{OPENING.match(cell[1])[0]}': name the thing first"
            yield from faults_of_text(number, line, False)
        return
    code = name.endswith(SLASHES)
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS and "http" not in line and (code and 'R"(' not in line or line.lstrip().startswith("#")):
            yield number, f"{len(line)} columns, at most {COLUMNS}"
    if name.endswith(".py"):
        for number, line in enumerate(lines, 1):
            if line.lstrip().startswith('"""') and OPENING.match(line.lstrip()[3:]):
                yield number, f"docstring begins with '{OPENING.match(line.lstrip()[3:])[0]}': name the thing first"
    yield from faults_of_code(lines, "slashes" if code else "hash")


def main(root):
    files = [p for folder in FOLDERS for p in sorted((root / folder).rglob("*")) if p.name.endswith(SUFFIXES)]
    faults, checked = 0, 0
    for path in [*files, *root.glob("README.md")]:
        name = path.relative_to(root).as_posix()
        if LEFT_OUT.search(name):
            continue
        checked += 1
        for number, text in faults_of(name, path.read_text(encoding="utf-8").splitlines()):
            print(f"{name}:{number}: {text}")
            faults += 1
    print(f"{checked} files, {faults} faults")
    return 1 if faults or not checked else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
