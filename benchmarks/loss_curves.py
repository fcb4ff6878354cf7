"""Compares the losses of two runs that loss_curves.sh made, and draws both: loss_curves.py FOLDER STEPS."""

import json
import sys
from pathlib import Path

LAST, LIMIT = 50, 0.01
COLOURS = {"fp32": "#3b7dd8", "bf16": "#d8803b"}


def losses(folder):
    """Training losses by step, and the last one on held-out text."""
    training, held_out = {}, None
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if "loss" in entry:
            training[entry["step"]] = entry["loss"]
        if "eval_loss" in entry:
            held_out = entry["eval_loss"]
    return training, held_out


def smooth(training, steps, width=10):
    return [(s, sum(training[i] for i in range(s - width + 1, s + 1)) / width) for s in range(width, steps + 1)]


def picture(runs, steps):
    width, height, left, top = 640, 320, 50, 20
    curves = {name: smooth(training, steps) for name, (training, _) in runs.items()}
    values = [value for curve in curves.values() for _, value in curve]
    low, high = int(min(values)), int(max(values)) + 1
    x = lambda step: left + step / steps * (width - left - 20)
    y = lambda loss: top + (high - loss) / (high - low) * (height - top - 40)
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>']
    for loss in range(low, high + 1):
        svg += [f'<line x1="{left}" y1="{y(loss):.1f}" x2="{width - 20}" y2="{y(loss):.1f}" stroke="#ddd"/>',
                f'<text x="{left - 8}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss}</text>']
    for step in range(0, steps + 1, 100):
        svg.append(f'<text x="{x(step):.1f}" y="{height - 20}" text-anchor="middle">{step}</text>')
    for i, (name, curve) in enumerate(curves.items()):
        points = " ".join(f"{x(step):.1f},{y(loss):.1f}" for step, loss in curve)
        dashes = "" if i == 0 else ' stroke-dasharray="5 4"'
        svg += [f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"{dashes}/>',
                f'<text x="{width - 120}" y="{top + 20 + 18 * i}" fill="{COLOURS[name]}">{name}</text>']
    svg += [f'<text x="{width / 2}" y="{height - 4}" text-anchor="middle">step (means of ten)</text>', "</svg>"]
    return "\n".join(svg) + "\n"


def main():
    folder, steps = Path(sys.argv[1]), int(sys.argv[2])
    runs = {name: losses(folder / name) for name in COLOURS}
    (folder / "loss_curves.svg").write_text(picture(runs, steps))
    rows = []
    for step in [1, *range(100, steps + 1, 100)]:
        rows.append((f"step {step}", *(training[step] for training, _ in runs.values())))
    rows.append((f"mean of the last {LAST}",
                 *(sum(training[i] for i in range(steps - LAST + 1, steps + 1)) / LAST for training, _ in runs.values())))
    rows.append(("held-out text, at the end", *(held_out for _, held_out in runs.values())))
    print("| loss | fp32 | bf16 | bf16 / fp32 - 1 |\n| --- | --- | --- | --- |")
    for what, fp32, bf16 in rows:
        print(f"| {what} | {fp32:.4f} | {bf16:.4f} | {bf16 / fp32 - 1:+.2%} |")
    worst = max(abs(bf16 / fp32 - 1) for _, fp32, bf16 in rows[-2:])
    if worst > LIMIT:
        sys.exit(f"loss_curves.py: the ends are {worst:.2%} apart, over {LIMIT:.0%}")


main()
