"""README.md must contain the C++ example word for word and name only scripts that exist. Links between pages must lead to
a file and, with #, to a heading of it. Pages must not use words that readers stumble over."""

import pathlib
import re
import sys

readme_path, example_path = map(pathlib.Path, sys.argv[1:])
root = readme_path.parent
text = readme_path.read_text()
faults = []


def anchors(page):
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


if f"```cpp\n{example_path.read_text()}```" not in text:
    faults.append(f"the C++ example of README.md differs from {example_path.relative_to(root)}")
for page in [readme_path, *sorted((root / "docs").rglob("*.md"))]:
    for link, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text()):
        if "://" in link:
            continue
        target = page.parent / link if link else page
        if not target.exists():
            faults.append(f"{page.relative_to(root)}: {link} does not exist")
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            faults.append(f"{page.relative_to(root)}: {link} has no heading #{anchor}")
for command in re.findall(r"^(?:bash )?((?:examples|tests|benchmarks|cmake)/\S+\.sh)", text, re.M):
    if not (root / command).exists():
        faults.append(f"README.md: {command} does not exist")
for fault in faults:
    print(fault)
sys.exit(1 if faults else 0)
