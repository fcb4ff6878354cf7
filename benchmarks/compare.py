"""Our training step and generation beside PyTorch's, in one run on one machine: for each line of the table both programs
are started, warmed up, and then asked in turns for one piece of work, so that whatever else the machine does meets both.
Writes a table in Markdown and a picture. Called by compare.sh."""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Worker:
    """A program that answers each line with the seconds that a piece of work took."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.seconds = []
        self.expect("ready")

    def expect(self, wanted=None):
        line = self.process.stdout.readline().strip()
        if not line or (wanted and line != wanted):
            raise RuntimeError(self.process.communicate()[1].strip().splitlines()[-1:] or "it ended")
        return line

    def once(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.seconds.append(float(self.expect()))

    def end(self):
        errors = self.process.communicate()[1]
        for line in errors.splitlines():
            if line.startswith("peak memory"):
                self.peak_gib = float(line.split()[2])


def available_gib():
    with open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) / 2**20 for line in lines if line.startswith("MemAvailable"))


class Case:
    def __init__(self, part, size, precision, batch, time, tokens=32):
        self.part, self.size, self.precision = part, size, precision
        self.batch, self.time, self.tokens = batch, time, tokens

    def work(self):
        """Tokens of one piece of work."""
        return self.batch * (self.tokens if self.part == "decode" else self.time)

    def title(self):
        what = {"step": "training step", "prefill": "prefill", "decode": "decoding after"}[self.part]
        return f"{what} {self.batch} x {self.time}, {self.size}, {self.precision}"

    def ours(self, options):
        return [options.bench_model, "--part", self.part, "--size", self.size, "--precision", self.precision]+ [
            "--batch", self.batch, "--time", self.time, "--tokens", self.tokens, "--threads", options.threads]

    def torch(self, options, mode):
        return [options.python, HERE / "peers" / "torch_model.py", self.part, self.size, self.precision, mode] + [
            self.batch, self.time, self.tokens, options.threads]


def cases(options):
    for precision in options.precisions:
        if "tiny" in options.sizes:
            yield Case("step", "tiny", precision, 8, 256)
        for size in options.sizes:
            if size != "tiny":
                yield Case("step", size, precision, 2, 1024)
        for size in options.sizes:
            yield Case("prefill", size, precision, 1, 512)
            yield Case("decode", size, precision, 1, 64)


def compare(case, options):
    """One line of the table, as a dictionary."""
    line = {"case": case.title(), "part": case.part, "size": case.size, "precision": case.precision}
    plan = json.loads(subprocess.run(list(map(str, case.ours(options) + ["--plan"])), check=True, capture_output=True,
                                     text=True).stdout)
    line["planned_gib"], line["flops"], line["weight_bytes"] = plan["gib"], plan["flops"], plan["weight_bytes"]
    if plan["gib"] > 0.9 * available_gib():
        return line
    workers = {"ours": Worker(case.ours(options) + ["--serve"])}
    try:
        for mode in options.modes:
            if 1.5 * plan["gib"] > 0.9 * available_gib():
                line[f"torch {mode}"] = "no room beside ours"
                continue
            try:
                workers[f"torch {mode}"] = Worker(case.torch(options, mode))
            except RuntimeError as error:
                line[f"torch {mode}"] = f"failed: {error}"
        for _ in range(options.rounds):
            for worker in workers.values():
                worker.once()
    finally:
        for worker in workers.values():
            worker.end()
    for name, worker in workers.items():
        line[name] = {
            "tokens_per_second": case.work() / statistics.median(worker.seconds),
            "seconds": worker.seconds,
            "peak_gib": worker.peak_gib,
        }
    return line


def share_of_limit(line, machine):
    """The part of what the machine can do that ours reached: of its multiply-adds, or of its bandwidth in decoding."""
    speed = line["ours"]["tokens_per_second"]
    if line["part"] == "decode":
        return speed * line["weight_bytes"] / machine["read_bytes_per_second"]
    return speed * line["flops"] / machine["fp32_flops_per_second"]


def table(lines, options, machine):
    heads = ["", "ours, tokens/s", "share of the machine's peak", "peak GiB"]
    for mode in options.modes:
        heads += [f"PyTorch {mode}", "ours / it", "its peak GiB"]
    rows = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for line in lines:
        cells = [line["case"]]
        if "ours" not in line:
            cells += [f"does not fit: needs {line['planned_gib']:.1f} GiB"] + [""] * (len(heads) - 2)
        else:
            ours = line["ours"]
            cells += [f"{ours['tokens_per_second']:.4g}", f"{share_of_limit(line, machine):.0%}", f"{ours['peak_gib']:.2f}"]
            for mode in options.modes:
                peer = line.get(f"torch {mode}")
                if isinstance(peer, dict):
                    ratio = ours["tokens_per_second"] / peer["tokens_per_second"]
                    cells += [f"{peer['tokens_per_second']:.4g}", f"**{ratio:.2f}**", f"{peer['peak_gib']:.2f}"]
                else:
                    cells += [str(peer or ""), "", ""]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def picture(lines, options):
    """Bars of ours over the fastest PyTorch, one a line, with a mark at 1."""
    ratios = []
    for line in lines:
        peers = [line[f"torch {m}"]["tokens_per_second"] for m in options.modes if isinstance(line.get(f"torch {m}"), dict)]
        if peers and "ours" in line:
            ratios.append((line["case"], line["ours"]["tokens_per_second"] / max(peers)))
    if not ratios:
        return None
    left, width, height, top = 330, 420, 22, 34
    scale = width / max(max(r for _, r in ratios), 1.0)
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 70}" height="{top + height * len(ratios) + 16}" '
           'font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="8" y="18" font-weight="bold">tokens/s: ours / the faster of PyTorch eager and compile</text>']
    for i, (name, ratio) in enumerate(ratios):
        y = top + i * height
        svg += [f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{name}</text>',
                f'<rect x="{left}" y="{y + 3}" width="{ratio * scale:.1f}" height="{height - 8}" '
                f'fill="{"#3b7dd8" if ratio >= 1 else "#c0605a"}"/>',
                f'<text x="{left + ratio * scale + 5:.1f}" y="{y + 14}">{ratio:.2f}</text>']
    x = left + scale
    svg += [f'<line x1="{x:.1f}" y1="{top - 4}" x2="{x:.1f}" y2="{top + height * len(ratios)}" stroke="black" '
            'stroke-dasharray="3 3"/>', "</svg>"]
    return "\n".join(svg) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench_model", type=Path, required=True, help="our program, built")
    parser.add_argument("--bench_machine", type=Path, required=True)
    parser.add_argument("--python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--output", type=Path, default=Path("comparison"), help="folder of table.md, ratios.svg, all.json")
    parser.add_argument("--sizes", nargs="+", default=["tiny", "small", "medium", "large", "xl"])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--modes", nargs="*", default=["eager", "compile"])
    parser.add_argument("--parts", nargs="+", default=["step", "prefill", "decode"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    measure = [options.bench_machine, "--threads", str(options.threads)]
    machine = json.loads(subprocess.run(measure, check=True, capture_output=True, text=True).stdout)
    print(f"this machine, {options.threads} threads: {machine['fp32_flops_per_second'] / 1e9:.0f} GFLOP/s in fp32, "
          f"{machine['read_bytes_per_second'] / 1e9:.1f} GB/s read", flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    lines = []
    for case in cases(options):
        if case.part not in options.parts:
            continue
        lines.append(compare(case, options))
        print(table(lines[-1:], options, machine).splitlines()[2], flush=True)
        (options.output / "all.json").write_text(json.dumps({"machine": machine, "lines": lines}, indent=1))
        (options.output / "table.md").write_text(table(lines, options, machine))
        svg = picture(lines, options)
        if svg:
            (options.output / "ratios.svg").write_text(svg)


main()
