"""Programs that compare.py times, ours and others: each repeats one piece of work on request."""

import json
import os
import signal
import subprocess
from pathlib import Path

PEERS = Path(__file__).resolve().parent / "peers"


class Missing(Exception):
    """A contender that is not there or does not run: its cell of the table says why."""


def last_line(text):
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip()[:120] if lines else ""


def first_to_be_killed():
    """When memory runs out, the kernel ends the contender and nothing else of this machine."""
    Path("/proc/self/oom_score_adj").write_text("1000")


def start(command, **options):
    return subprocess.Popen(list(map(str, command)), text=True, preexec_fn=first_to_be_killed, **options)


class Worker:
    """A program that says "ready" once it is warm, then answers each line with the seconds that its work took, and tells
    its peak memory at the end."""

    def __init__(self, command, log):
        self.log = open(log, "w+")
        self.process = start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        self.peak_gib = 0.0
        if self.answer() != "ready":
            raise Missing("does not speak the protocol")

    def answer(self):
        line = self.process.stdout.readline().strip()
        if not line:
            if self.process.wait() == -signal.SIGKILL:
                raise Missing("out of memory")
            self.log.seek(0)
            raise Missing("failed: " + last_line(self.log.read()))
        return line

    def once(self):
        """Seconds of one piece of work."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.answer())

    def end(self):
        self.process.communicate()
        self.log.seek(0)
        for line in self.log:
            if line.startswith("peak memory"):
                self.peak_gib = float(line.split()[2])
        self.log.close()


class LlamaBench:
    """llama-bench, started for each piece of work: it loads the model, warms up and times by itself."""

    def __init__(self, command, log):
        self.command, self.log, self.peak_gib = command, log, 0.0
        self.once()

    def once(self):
        with open(self.log, "w+") as log:
            process = start(self.command, stdout=subprocess.PIPE, stderr=log)
            said = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode == -signal.SIGKILL:
                raise Missing("out of memory")
            if process.returncode != 0:
                log.seek(0)
                raise Missing("failed: " + last_line(log.read()))
        self.peak_gib = max(self.peak_gib, usage.ru_maxrss / 2**20)
        return json.loads(said)[0]["samples_ns"][0] / 1e9

    def end(self):
        pass


class Case:
    """One row: a part (step, prefill, decode) of a size in a precision, and who does it."""

    def __init__(self, part, size, precision, batch, time, tokens=32, only_ours=None):
        self.part, self.size, self.precision = part, size, precision
        self.batch, self.time, self.tokens = batch, time, tokens
        self.only_ours = only_ours  # {name: flags that differ}: ours against itself

    def tokens_of_work(self):
        return self.batch * (self.tokens if self.part == "decode" else self.time)

    def key(self):
        against = "" if self.only_ours is None else f" ({', '.join(self.only_ours)})"
        return f"{self.part} {self.batch} x {self.time} {self.size} {self.precision}{against}"

    def ours(self, options, *flags, **changed):
        values = {"part": self.part, "size": self.size, "precision": self.precision, "batch": self.batch,
                  "time": self.time, "tokens": self.tokens, "threads": options.threads} | changed
        return [options.bench_model, *(f"--{name}={value}" for name, value in values.items()), *flags]

    def plan(self, options):
        """Memory, FLOPs of a token and bytes of weights that a token reads, as bench_model says."""
        command = list(map(str, self.ours(options, "--plan")))
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def contenders(self, options):
        """{name: function that starts it}, ours first. Beside decoding, memory itself is read: how fast that goes changes
        from minute to minute on a machine that is shared."""

        def worker(name, command):
            return lambda: Worker(command, options.output / f"{name.replace(' ', '_')}.log")

        if self.only_ours is not None:
            return {name: worker(name, self.ours(options, "--serve", **changed)) for name, changed in self.only_ours.items()}
        everyone = {"ours": worker("ours", self.ours(options, "--serve"))}
        if self.part == "decode":
            everyone["memory"] = worker("memory", [options.bench_machine, "--serve", f"--threads={options.threads}"])
        numbers = [self.batch, self.time, self.tokens, options.threads]
        for name in options.peers:
            script, _, mode = name.partition("-")
            if script == "transformers" and self.part == "step":
                continue
            arguments = [self.part, self.size, self.precision, *([mode] if mode else []), *numbers]
            everyone[name] = worker(name, [options.python, PEERS / f"{script}_model.py", *arguments])
        if options.llama_bench and self.part != "step":
            command = self.llama(options)
            everyone["llama.cpp"] = lambda: LlamaBench(command, options.output / "llama.cpp.log")
        return everyone

    def llama(self, options):
        """The command line of llama-bench, on a GGUF that is written once."""
        file_type = {"fp32": "F32", "bf16": "BF16"}[self.precision]
        model = options.output / "gguf" / f"{self.size}-{file_type}.gguf"
        if not model.exists():
            model.parent.mkdir(exist_ok=True)
            partial = model.with_suffix(".partial")
            command = [options.python, PEERS / "write_gguf.py", self.size, partial, "--type", file_type]
            subprocess.run(list(map(str, command)), check=True)
            partial.rename(model)
        work = ["-p", self.time, "-n", 0] if self.part == "prefill" else ["-p", 0, "-n", self.tokens, "-d", self.time]
        return [options.llama_bench, "-m", model, *work, "-t", options.threads, "-r", 1, "-o", "json"]


DECODED = {"tiny": 64, "small": 32, "medium": 16, "large": 8, "xl": 8}  # tokens: some seconds of work


def cases(options):
    """Small sizes first: what counts is known early."""
    every = []
    for size in options.sizes:
        for precision in options.precisions:
            batch, time = (8, 256) if size == "tiny" else (2, 1024)
            every.append(Case("step", size, precision, batch, time))
            every.append(Case("prefill", size, precision, 1, 512))
            every.append(Case("decode", size, precision, 1, 64, DECODED[size]))
            if size == "small":
                own = {"dropout 0": {}, "dropout 0.1": {"dropout": 0.1}}
                every.append(Case("step", size, precision, batch, time, only_ours=own))
                if options.threads > 1:
                    own = {f"{options.threads} threads": {}, "1 thread": {"threads": 1}}
                    every.append(Case("step", size, precision, batch, time, only_ours=own))
    compares = bool(options.peers or options.llama_bench)
    return [case for case in every if case.part in options.parts and (compares if case.only_ours is None else options.own)]
