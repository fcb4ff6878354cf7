"""Our training step and generation beside PyTorch, transformers and llama.cpp, in one run on one machine: for each row
all programs are started and warmed up, and then do one piece of work each alternately, so that other load on the machine
affects all of them. If they do not fit into memory together, each is started, warmed up and timed alone, alternately.

OUTPUT/all.json keeps the rows by the measured case, so that a table can be made in several short runs. Called by
compare.sh."""

import argparse
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import report
from contenders import Missing, cases

# Maximum memory of a peer relative to our plan: an estimate that decides whether all are held in memory together.
PEER_GIB = {"step": 1.9, "prefill": 2.2, "decode": 2.2}


def available_gib():
    with open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) / 2**20 for line in lines if line.startswith("MemAvailable"))


class Turns:
    """Holds --turn_lock's files while something is timed or warms up, and gives others a turn every --turn_seconds."""

    def __init__(self, options):
        self.names, self.longest = options.turn_lock, options.turn_seconds
        self.files, self.begun = [], 0

    def __enter__(self):
        if not self.files:
            self.files = [open(name, "a") for name in self.names]
            for file in self.files:
                fcntl.flock(file, fcntl.LOCK_EX)
            self.begun = time.monotonic()

    def __exit__(self, *_):
        if time.monotonic() - self.begun > self.longest:
            self.give_up()

    def give_up(self):
        for file in self.files:
            file.close()
        self.files = []


def together(everyone, options, row):
    """All alive, one piece of work each in every round."""
    alive = {}
    for name, start in everyone.items():
        with options.turns:
            try:
                alive[name] = start()
            except Missing as why:
                row[name] = {"why": str(why)}
    seconds = {name: [] for name in alive}
    for _ in range(options.rounds):
        with options.turns:
            for name, worker in list(alive.items()):
                try:
                    seconds[name].append(worker.once())
                except Missing as why:
                    row[name] = {"why": str(why)}
                    del alive[name], seconds[name]
    for name, worker in alive.items():
        worker.end()
        row[name] = {"seconds": seconds[name], "peak_gib": worker.peak_gib}


def alternately(everyone, options, row):
    """One alive at a time, twice around: ten seconds of work each, or one piece."""
    for _ in range(2):
        for name, start in everyone.items():
            if "why" in row.get(name, {}):
                continue
            with options.turns:
                try:
                    worker = start()
                    seconds = [worker.once()]
                    while sum(seconds) < 10 and len(seconds) < options.rounds:
                        seconds.append(worker.once())
                    worker.end()
                except Missing as why:
                    row[name] = {"why": str(why)}
                    continue
            done = row.setdefault(name, {"seconds": [], "peak_gib": 0})
            done["seconds"] += seconds
            done["peak_gib"] = max(done["peak_gib"], worker.peak_gib)


def measure(case, options):
    row = {"part": case.part, "size": case.size, "precision": case.precision, "batch": case.batch, "time": case.time,
           "work": case.tokens_of_work(), "plan": case.plan(options),
           "own": case.only_ours is not None, "results": {}}
    needed = row["plan"]["gib"]
    everyone = case.contenders(options)
    if needed > 0.9 * available_gib():
        everyone = {}
    fits = needed * (1 + PEER_GIB[case.part] * (len(everyone) - 1)) < 0.85 * available_gib()
    row["held"] = "together" if fits else "alternately"
    (together if fits else alternately)(everyone, options, row["results"])
    return row


def measure_machine(options, before):
    """The most that was seen of each: less is what something else took."""
    command = [str(options.bench_machine), "--threads", str(options.threads)]
    with options.turns:
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    machine = json.loads(said)
    if before.get("threads") == options.threads:
        machine = {name: max(value, before[name]) for name, value in machine.items()}
    with open("/proc/cpuinfo") as lines:
        machine["processor"] = next((l.split(":")[1].strip() for l in lines if l.startswith("model name")), "unknown")
    with open("/proc/meminfo") as lines:
        machine["gib"] = int(next(lines).split()[1]) / 2**20
    return machine


def breakdown(precision, machine, options):
    """The table that bench_breakdown prints."""
    flags = {"precision": precision, "threads": options.threads,
             "peak_gflops": machine[f"{precision}_flops_per_second"] / 1e9,
             "peak_gbytes": machine["read_bytes_per_second"] / 1e9}
    command = [str(options.bench_breakdown), *(f"--{name}={value}" for name, value in flags.items())]
    with options.turns:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--bench_model", type=Path, required=True, help="our programs, built")
    add("--bench_machine", type=Path, required=True)
    add("--bench_breakdown", type=Path, required=True)
    add("--python", default=sys.executable, help="a Python that has the peers' packages")
    add("--llama_bench", type=Path, help="llama.cpp's llama-bench, built for this machine; without it, no such column")
    add("--peers", nargs="*", default=["torch-eager", "torch-compile", "transformers"])
    add("--output", type=Path, default=Path("build/comparison"), help="folder of all.json, logs and GGUF files")
    add("--page", type=Path, help="Markdown page whose marked part is written anew, with its picture in images/")
    add("--sizes", nargs="+", help="of tiny small medium large xl; default: all")
    add("--precisions", nargs="+", default=["fp32", "bf16"])
    add("--parts", nargs="*", default=["step", "prefill", "decode"], help="none: what was measured stays, pages are written")
    add("--own", action=argparse.BooleanOptionalAction, help="also 1 thread, dropout, and the breakdown")
    add("--quick", action="store_true", help="by default tiny and small, three rounds, nothing of --own")
    add("--rounds", type=int, help="default: 5")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)))
    add("--turn_lock", nargs="*", default=[], metavar="FILE", help="files to lock while something runs, on a shared machine")
    add("--turn_seconds", type=float, default=120, help="how long they are held, about")
    options = parser.parse_args()
    options.turns = Turns(options)
    sizes = ["tiny", "small"] if options.quick else ["tiny", "small", "medium", "large", "xl"]
    options.sizes = options.sizes or sizes
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.own = options.own if options.own is not None else not options.quick
    return options


def main():
    options = parse()
    options.output.mkdir(parents=True, exist_ok=True)
    store = options.output / "all.json"
    kept = json.loads(store.read_text()) if store.exists() else {"rows": {}, "breakdown": {}}

    def keep():
        store.write_text(json.dumps(kept, indent=1))

    todo = cases(options)
    for case in todo:
        kept["machine"] = measure_machine(options, kept.get("machine", {}))
        row = measure(case, options)
        row["date"] = time.strftime("%Y-%m-%d %H:%M")
        kept["rows"][case.key()] = row
        keep()
        print(report.row_text(case.key(), row, kept["machine"]), flush=True)
    if todo and options.own and "small" in options.sizes and "step" in options.parts:
        for precision in options.precisions:
            kept["breakdown"][precision] = breakdown(precision, kept["machine"], options)
            keep()
            print(kept["breakdown"][precision], flush=True)
    options.turns.give_up()
    if todo:
        print(report.machine_text(kept["machine"]), flush=True)
    if options.page:
        report.write_page(options.page, kept)


if __name__ == "__main__":
    main()
