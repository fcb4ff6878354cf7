"""Every flag in README.md and the pages of docs/ must be one that a program has, or be listed here as another tool's.

check_flags.py ROOT FOLDER_OF_PROGRAMS
"""

import os
import pathlib
import re
import subprocess
import sys

root, programs = map(pathlib.Path, sys.argv[1:])

# Accepted, but left out of --help (cli/hugging_face_flags.hpp, cli/training_flags.hpp, cli/pretokenize_flags.hpp).
ignored = """--dataloader_pin_memory --dataloader_prefetch_factor --ddp_find_unused_parameters --do_eval --do_train --language
--no_dataset_streaming --optim --streaming --torch_compile""".split()
# Flags of scripts of this project, of benchmarks, and of programs that only tests build.
scripts = """--all --all-tests --area --bundle --check --held_out --llama_bench --page --part --parts --quick
--serve --sizes --type""".split()
# Flags of CMake, compilers, launchers, schedulers, and other projects.
others = """--bind-to --build --cflags --gpus-per-node --gpus-per-task --hostfile --include --install --libs --local-dir
--logdir --map-by --mca --mpi --no-python --nodes --nproc-per-node --ntasks --ntasks-per-node --num_gpus
--num_processes --nv --open-mode --parallel --prefix --preset --random-source --requeue --signal --target
--temp --time""".split()

known = set(ignored + scripts + others)
for program in sorted(programs.iterdir()):
    source = root / "examples" / f"{program.name}.cpp"
    if source.exists() and "Options options(" in source.read_text() and os.access(program, os.X_OK):
        known |= set(re.findall(r"--[a-z][a-z_0-9-]*", subprocess.run([program, "--help"], capture_output=True, text=True).stdout))
faults = []
folders = ("docs", "docs/api", "docs/decisions")
for page in [root / "README.md", *(page for folder in folders for page in sorted((root / folder).glob("*.md")))]:
    for flag in sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z_0-9-]*", page.read_text()))):
        if flag not in known:
            faults.append(f"{page.relative_to(root)}: no program has {flag}")
print("\n".join(faults) if faults else f"{len(known)} flags are known")
sys.exit(1 if faults else 0)
