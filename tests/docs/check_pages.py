"""Code in README.md and docs/ must be code that is compiled: each C++ block must occur word for word, up to a common
indentation, in a file below tests/docs/, tests/consumers/ or examples/, and each file of tests/docs/api/ must be a block
of a page as a whole. README.md must name only scripts that exist. Links between pages must lead to a file and, with #,
to a heading of it.

A block after <!-- tests/docs/api/NAME.cpp --> is a copy of that file.

check_pages.py ROOT [--update]        --update: copies these files into the pages
"""

import pathlib
import re
import sys
import textwrap

root = pathlib.Path(sys.argv[1])
readme = root / "README.md"
pages = [readme, *sorted((root / "docs").rglob("*.md"))]
faults = []


def update(page):
    """Copies files into the blocks that name them."""
    copy = lambda match: f"{match[1]}```cpp\n{(root / match[2]).read_text()}```\n"
    page.write_text(re.sub(r"(^<!-- (\S+\.cpp) -->\n)```cpp\n.*?^```\n", copy, page.read_text(), flags=re.M | re.S))


def anchors(page):
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def occurs(block, text):
    """Whether the lines of a block follow each other in a text, all indented alike."""
    indents = {line[: len(line) - len(line.lstrip())] for line in text.splitlines()}
    return any(f"\n{textwrap.indent(block, indent)}" in f"\n{text}" for indent in indents)


folders = ("tests/docs", "tests/consumers", "examples")
sources = [path for folder in folders for path in sorted((root / folder).rglob("*.[ch]pp"))]
texts = {path: path.read_text() for path in sources}
blocks = set()
for page in pages:
    if "--update" in sys.argv:
        update(page)
    for block in re.findall(r"^```cpp\n(.*?)^```$", page.read_text(), re.M | re.S):
        blocks.add(block)
        if not any(occurs(block, text) for text in texts.values()):
            first = block.strip().splitlines()[0]
            faults.append(f"{page.relative_to(root)}: the C++ block that begins with '{first}' is in no file of "
                          f"{', '.join(folders)}, so that no test compiles it")
for path in sorted((root / "tests/docs/api").glob("*.cpp")):
    if texts[path] not in blocks:
        faults.append(f"{path.relative_to(root)} is not a block of a page")

for page in pages:
    prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(), flags=re.M | re.S)
    for link, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", prose):
        if "://" in link:
            continue
        target = page.parent / link if link else page
        if not target.exists():
            faults.append(f"{page.relative_to(root)}: {link} does not exist")
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            faults.append(f"{page.relative_to(root)}: {link} has no heading #{anchor}")
for command in re.findall(r"^(?:bash )?((?:examples|tests|benchmarks|cmake)/\S+\.sh)", readme.read_text(), re.M):
    if not (root / command).exists():
        faults.append(f"README.md: {command} does not exist")
for fault in faults:
    print(fault)
sys.exit(1 if faults else 0)
