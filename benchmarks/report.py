"""Reports of compare.py's results: tables in Markdown, a picture, and the marked part of a page."""

import statistics
from pathlib import Path

NAMES = {"torch-eager": "PyTorch eager", "torch-compile": "PyTorch compile", "transformers": "transformers",
         "llama.cpp": "llama.cpp"}
SIZES = ["tiny", "small", "medium", "large", "xl"]
PARTS = {"step": "Training step", "prefill": "Prefill of a prompt", "decode": "Decoding after a prompt"}
BEGIN, END = "<!-- compare.sh: begin -->", "<!-- compare.sh: end -->"


def speed(row, name):
    """Tokens per second by the median of the seconds, or nothing."""
    result = row["results"].get(name, {})
    return row["work"] / statistics.median(result["seconds"]) if result.get("seconds") else None


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def share(row, name, machine):
    """The part of what the machine can do that was reached: of its multiply-adds, or in decoding of its bandwidth then."""
    plan = row["plan"]
    if row["part"] == "decode":
        memory = row["results"].get("memory", {}).get("seconds")
        bandwidth = 2**30 / statistics.median(memory) if memory else machine["read_bytes_per_second"]
        return speed(row, name) / row["batch"] * plan["weight_bytes"] / bandwidth
    return speed(row, name) * plan["flops"] / machine[f"{row['precision']}_flops_per_second"]


def machine_text(machine):
    return (f"{machine['processor']}, {machine['threads']} threads, {machine['gib']:.0f} GiB; measured peak "
            f"{machine['fp32_flops_per_second'] / 1e9:.0f} GFLOP/s in fp32, {machine['bf16_flops_per_second'] / 1e9:.0f} in "
            f"bf16, {machine['read_bytes_per_second'] / 1e9:.1f} GB/s read")


def row_text(key, row, machine):
    """One line for somebody who waits."""
    if not row["results"]:
        return f"{key}: does not fit, its plan is {row['plan']['gib']:.1f} GiB"
    parts = []
    for name, result in row["results"].items():
        if name == "memory":
            continue
        if not result.get("seconds"):
            parts.append(f"{name}: {result['why']}")
            continue
        parts.append(f"{name} {number(speed(row, name))} tokens/s ({share(row, name, machine):.0%} of peak, {result['peak_gib']:.2f} GiB)")
    return f"{key} [{row['held']}]: " + "; ".join(parts)


def table(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def part_table(rows, machine):
    """Rows of one part: ours, and each peer's speed with ours over it, and its memory with ours as a part of that."""
    peers = [name for name in NAMES if any(name in row["results"] for row in rows)]
    out = []
    for row in rows:
        cells = [f"{row['size']}, {row['precision']}, {row['batch']} x {row['time']}"]
        if not row["results"]:
            out.append(cells + [f"does not fit: plan {row['plan']['gib']:.1f} GiB"] + [""] * (len(peers) + 1))
            continue
        ours = row["results"]["ours"]
        if not ours.get("seconds"):
            out.append(cells + [ours["why"]] + [""] * (len(peers) + 1))
            continue
        cells += [f"**{number(speed(row, 'ours'))}**, {ours['peak_gib']:.2f} GiB", f"{share(row, 'ours', machine):.0%}"]
        for name in peers:
            result = row["results"].get(name, {})
            if not result.get("seconds"):
                cells.append(result.get("why", ""))
                continue
            ratio = speed(row, "ours") / speed(row, name)
            memory = ours["peak_gib"] / result["peak_gib"]
            cells.append(f"{number(speed(row, name))} (**{ratio:.2f}x**), {result['peak_gib']:.2f} GiB ({memory:.0%})")
        out.append(cells)
    limit = "of the bandwidth" if rows[0]["part"] == "decode" else "of the peak"
    return table(["", "ours, tokens/s", limit] + [NAMES[name] for name in peers], out)


def own_table(rows):
    out = []
    for row in rows:
        first, second = row["results"]
        out.append([f"{row['size']}, {row['precision']}", f"{first}: {number(speed(row, first))}", f"{second}: {number(speed(row, second))}",
                    f"{speed(row, first) / speed(row, second):.2f}"])
    return table(["training step", "tokens/s", "tokens/s", "first / second"], out)


def bars(rows):
    """Ours over the fastest peer, for each row that has one."""
    found = []
    for row in rows:
        peers = [speed(row, name) for name in NAMES if speed(row, name)]
        if peers and speed(row, "ours"):
            found.append((f"{row['part']}, {row['size']}, {row['precision']}", speed(row, "ours") / max(peers)))
    return found


def picture(rows):
    """A bar for each row, with a mark at 1."""
    ratios = bars(rows)
    if not ratios:
        return None
    left, width, height, top = 190, 440, 20, 34
    scale = width / max(max(ratio for _, ratio in ratios), 1.0)
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 60}" height="{top + height * len(ratios) + 16}" '
           'font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           '<text x="8" y="18" font-weight="bold">tokens/s: ours / the fastest of the others</text>']
    for i, (name, ratio) in enumerate(ratios):
        y = top + i * height
        svg += [f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{name}</text>',
                f'<rect x="{left}" y="{y + 3}" width="{ratio * scale:.1f}" height="{height - 6}" '
                f'fill="{"#3b7dd8" if ratio >= 1 else "#c0605a"}"/>',
                f'<text x="{left + ratio * scale + 5:.1f}" y="{y + 14}">{ratio:.2f}</text>']
    x = left + scale
    svg += [f'<line x1="{x:.1f}" y1="{top - 4}" x2="{x:.1f}" y2="{top + height * len(ratios)}" stroke="black" '
            'stroke-dasharray="3 3"/>', "</svg>"]
    return "\n".join(svg) + "\n"


def ordered(kept):
    return sorted(kept["rows"].values(), key=lambda row: (SIZES.index(row["size"]), row["precision"] == "bf16"))


def page_text(kept, image):
    rows = ordered(kept)
    text = [machine_text(kept["machine"]) + "."]
    compared = [row for row in rows if not row["own"]]
    if picture(compared):
        text.append(f"![Tokens per second, ours over the fastest of the others]({image})")
    for part, title in PARTS.items():
        chosen = [row for row in compared if row["part"] == part]
        if chosen:
            text += [f"### {title}", part_table(chosen, kept["machine"])]
    own = [row for row in rows if row["own"] and all(r.get("seconds") for r in row["results"].values())]
    if own:
        text += ["### Threads and dropout", own_table(own)]
    for precision, lines in kept["breakdown"].items():
        text += [f"### Where a step of `small` goes, {precision}", lines]
    return "\n\n".join(part.strip() for part in text) + "\n"


def write_page(page, kept):
    """Puts the tables between the marks of the page, and the picture beside it."""
    text = page.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f"compare.py: {page} must have one line {BEGIN} and one {END}")
    image = Path("images") / "performance.svg"
    svg = picture([row for row in ordered(kept) if not row["own"]])
    if svg:
        (page.parent / image).write_text(svg)
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{page_text(kept, image)}{END}{after}")
