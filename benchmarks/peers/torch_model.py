"""ModernGPT2 in plain PyTorch, as a good user would write it: fused scaled-dot-product attention, one product for q,
k and v and one for gate and up, fused AdamW, a fixed key/value cache. Speaks the protocol of bench_model: "ready", then
the seconds of one piece of work for each line that it reads; peak memory on standard error at the end.

torch_model.py {step|prefill|decode} {tiny|small|medium|large|xl} {fp32|bf16} {eager|compile} BATCH TIME TOKENS THREADS
               [cpu|cuda]
"""

import math
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

PART, SIZE, PRECISION, MODE = sys.argv[1:5]
BATCH, TIME, TOKENS, THREADS = map(int, sys.argv[5:9])
DEVICE = sys.argv[9] if len(sys.argv) > 9 else "cpu"
LAYERS, WIDTH, HEADS = {
    "tiny": (4, 256, 4),
    "small": (12, 768, 12),
    "medium": (24, 1024, 16),
    "large": (36, 1280, 20),
    "xl": (48, 1600, 25),
}[SIZE]
HEAD_DIM, VOCABULARY, POSITIONS = WIDTH // HEADS, 32000, TIME + TOKENS


class RMSNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x):
        return F.rms_norm(x.float(), (WIDTH,), 1 + self.weight.float(), 1e-6).to(x.dtype)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        linear = lambda inputs, outputs: nn.Linear(inputs, outputs, bias=False)
        self.qkv, self.o = linear(WIDTH, 3 * WIDTH), linear(WIDTH, WIDTH)
        self.gate_up, self.down = linear(WIDTH, 8 * WIDTH), linear(4 * WIDTH, WIDTH)
        self.norms = nn.ModuleList(RMSNorm() for _ in range(4))

    def forward(self, x, cos, sin, cache=None, past=0):
        batch, length, _ = x.shape
        q, k, v = self.qkv(self.norms[0](x)).view(batch, length, 3, HEADS, HEAD_DIM).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if cache is not None:
            cache[0][:, :, past : past + length], cache[1][:, :, past : past + length] = k, v
            k, v = cache[0][:, :, : past + length], cache[1][:, :, : past + length]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=length > 1)
        x = x + self.norms[1](self.o(y.transpose(1, 2).reshape(batch, length, WIDTH)))
        gate, up = self.gate_up(self.norms[2](x)).chunk(2, -1)
        return x + self.norms[3](self.down(F.gelu(gate, approximate="tanh") * up))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks, self.norm = nn.ModuleList(Block() for _ in range(LAYERS)), RMSNorm()
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)
        angles = torch.arange(POSITIONS)[:, None] * 10000 ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def hidden(self, ids, caches=None, past=0):
        x = self.wte(ids) * math.sqrt(WIDTH)
        cos, sin = self.cos[past : past + ids.shape[1]], self.sin[past : past + ids.shape[1]]
        for i, block in enumerate(self.blocks):
            x = block(x, cos, sin, None if caches is None else caches[i], past)
        return self.norm(x)

    def forward(self, ids):
        logits = F.linear(self.hidden(ids), self.wte.weight)
        return F.cross_entropy(logits[:, :-1].reshape(-1, VOCABULARY).float(), ids[:, 1:].reshape(-1))


def training_step(model):
    loss_of = torch.compile(model) if MODE == "compile" else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ids = torch.randint(0, VOCABULARY, (BATCH, TIME))

    def once():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=PRECISION == "bf16"):
            loss = loss_of(ids)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return once


def generation(model):
    dtype = torch.bfloat16 if PRECISION == "bf16" else torch.float32
    model = model.to(dtype).eval()
    hidden = torch.compile(model.hidden, dynamic=True) if MODE == "compile" else model.hidden
    caches = [[torch.zeros(BATCH, HEADS, POSITIONS, HEAD_DIM, dtype=dtype) for _ in range(2)] for _ in range(LAYERS)]
    prompt = torch.randint(3, VOCABULARY, (BATCH, TIME))
    run = lambda ids, past: F.linear(hidden(ids, caches, past)[:, -1], model.wte.weight)

    @torch.no_grad()
    def prefill():
        run(prompt, 0)

    @torch.no_grad()
    def decode():
        for t in range(TOKENS):
            run(prompt[:, :1], TIME + t)

    prefill()
    return prefill if PART == "prefill" else decode


def wait():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


torch.set_num_threads(THREADS)
torch.set_default_device(DEVICE)
torch.manual_seed(0)
once = training_step(Model()) if PART == "step" else generation(Model())
once()
wait()
print("ready", flush=True)
for _ in sys.stdin:
    begin = time.perf_counter()
    once()
    wait()
    print("%.6f" % (time.perf_counter() - begin), flush=True)
peak = torch.cuda.max_memory_allocated() / 2**30 if DEVICE == "cuda" else None
peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print("peak memory %.3f GiB" % peak, file=sys.stderr)
