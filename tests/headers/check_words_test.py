"""Checks that check_words.py finds each kind of fault, and none in plain sentences."""

import contextlib
import io
import tempfile
from pathlib import Path

import check_words

OPENINGS = ["The same of the evaluation.", "Of new weights.", "What the shards must have.", "Who waits.", "Whose end.",
            "That of a file.", "Those of a file.", "These are views.", "As it was.", "It reads a file.", "Its size.",
            "They are sorted.", "Their sizes.", "Such batches for a step.", "Whether it is there.", "Others wait.",
            "This is the sum.", "Likewise for rows.", "Which are kept."]
PHRASES = ["The memory is had only there.", "The reader is told.", "To be told each unit.", "A flag that is heeded.",
           "A flag outranks the file.", "Draws tokens by chance.", "Runs them in turns.", "Parts used by turns.",
           "Two of a kind.", "Reads it as it lies.", "States what holds.", "Goes on with what it has.",
           "The rank whose patience ends.", "All weights are there.", "If it is there, reads it.",
           "Lists those there are.", "As many as there are.", "Lists files where there are."]
PLAIN = ["Sums of the rows.", "Whether a file exists.", "This rank's shard.", "Exact copy of a file.",
         "There are two cases: a and b.", "How many are there?", "Fails if there are more.", "Checks if there is a file.",
         "Same as `that`.", "`of` is a column.", "Is there a file?"]
LONG = "x" * 121

CASES = [("include/m/a.hpp", f"/// {text}\nint a;") for text in OPENINGS + PHRASES]
CASES += [("include/m/a.hpp", f"int a;  ///< {text[0].lower()}{text[1:]}") for text in OPENINGS]
CASES += [("include/m/a.hpp", f"  // {text}\n  int a;") for text in OPENINGS]
CASES += [("include/m/a.hpp", f"  f();  // {text}") for text in PHRASES + OPENINGS if not text.startswith("As ")]
CASES += [("include/m/a.hpp", f'throw Error("{text}");') for text in PHRASES]
CASES += [("include/m/a.hpp", "/// Weights that are\n/// there already.\nint a;"), ("include/m/a.hpp", LONG)]
CASES += [("cmake/a.cmake", f"# {text}\nset(a 1)") for text in OPENINGS + PHRASES]
CASES += [("tests/a.sh", f"# {text}\nls") for text in OPENINGS + PHRASES]
CASES += [("tests/a.py", f'"""{text}"""') for text in OPENINGS]
CASES += [("docs/a.md", text) for text in PHRASES]
CASES += [("docs/tools/a.md", f"| `--a INT` | `1` | {text[0].lower()}{text[1:]} |") for text in OPENINGS]
SOUND = [("include/m/a.hpp", f"/// {text}\nint a;  ///< {text}\nf(\"{text}\");  // {text}") for text in PLAIN]
SOUND += [("docs/a.md", "It reads a file."), ("docs/a.md", LONG), ("include/m/a.hpp", f"// https://{LONG}"),
          ("include/m/a.hpp", "int a;  // as in GPT-2"),
          ("include/m/a.hpp", "// Sums rows.\n\n// Adds\n// its argument.\nint a;"),
          ("tests/a.sh", "#!/bin/sh\necho \"${a#it}\"")]


def run(name, text):
    """Status and output of the check of a project with one file."""
    with tempfile.TemporaryDirectory() as root:
        path = Path(root, name)
        path.parent.mkdir(parents=True)
        path.write_text(text + "\n")
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = check_words.main(Path(root))
    return status, output.getvalue()


for name, text in CASES:
    found = list(check_words.faults_of(name, text.splitlines()))
    assert found and found[0][0] == 1, (name, text, found)
for name, text in SOUND:
    found = list(check_words.faults_of(name, text.splitlines()))
    assert not found, (name, text, found)

name, text = CASES[0]
assert run(name, text) == (1, f"{name}:1: {list(check_words.faults_of(name, [text]))[0][1]}\n1 files, 1 faults\n")
assert run(*SOUND[0]) == (0, "1 files, 0 faults\n")
assert run("tests/data/a.md", PHRASES[0])[0] == 1  # no file is checked
print(f"{len(CASES)} faults found, {len(SOUND)} sound files")
