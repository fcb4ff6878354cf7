"""README.md must hold the example word for word, name only files that exist, and point to no missing page."""

import pathlib
import re
import sys

readme_path, example_path = map(pathlib.Path, sys.argv[1:])
root = readme_path.parent
text = readme_path.read_text()
faults = []
if f"```cpp\n{example_path.read_text()}```" not in text:
    faults.append(f"the C++ example of README.md differs from {example_path.relative_to(root)}")
for page in [readme_path, *sorted((root / "docs").rglob("*.md"))]:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in link and not (page.parent / link).exists():
            faults.append(f"{page.relative_to(root)}: {link} does not exist")
for command in re.findall(r"^(?:bash )?((?:examples|tests|benchmarks|cmake)/\S+\.sh)", text, re.M):
    if not (root / command).exists():
        faults.append(f"README.md: {command} does not exist")
for fault in faults:
    print(fault)
sys.exit(1 if faults else 0)
