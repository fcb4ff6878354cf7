"""GGUF files of our models in llama.cpp: llama_cpp_check.py BIN MODEL [TEXT_FILE]

MODEL is a folder with a tokenizer, TEXT_FILE a text for the perplexity (default: this project's tutorial). Compares token
ids on 10,000 texts and greedy text in F32, perplexities in Q8_0 and Q4_0 with that in F32, and reads each file with the
package gguf. Needs the Python packages llama-cpp-python and gguf. LLAMA_CPP_LIB_PATH may name a folder with another
libllama.so of the same interface."""

import ctypes
import json
import math
import sys
import tempfile
from pathlib import Path

from common import Programs, Report, need
from texts import ROOT, make_texts

numpy, gguf, llama = need("numpy", "gguf", "llama_cpp.llama_cpp")

TEXTS = 10000
BLOCK = 128     # tokens whose perplexity is computed at once
MARGIN = 2e-2   # llama.cpp's GELU on the CPU is a table of 16-bit numbers: tokens whose logit leads by less may differ
LIMITS = {"q8_0": 0.005, "q4_0": 0.03}  # perplexity relative to F32


class Llama:
    """A model in llama.cpp: one sequence, caches and products in fp32, one thread."""

    def __init__(self, path, vocabulary_only=False):
        settings = llama.llama_model_default_params()
        settings.vocab_only = vocabulary_only
        self.model = llama.llama_model_load_from_file(str(path).encode(), settings)
        assert self.model, f"llama.cpp cannot load {path}"
        self.vocabulary = llama.llama_model_get_vocab(self.model)
        self.size = llama.llama_vocab_n_tokens(self.vocabulary)
        self.context = None
        if not vocabulary_only:
            wish = llama.llama_context_default_params()
            wish.n_ctx = wish.n_batch = wish.n_ubatch = 512
            wish.type_k = wish.type_v = 0  # GGML_TYPE_F32
            wish.flash_attn_type = 0       # disabled
            wish.n_threads = wish.n_threads_batch = 1
            self.context = llama.llama_init_from_model(self.model, wish)
            assert self.context, f"llama.cpp cannot make a context for {path}"

    def tokenize(self, text):
        data = text.encode()
        room = (llama.llama_token * (2 * len(data) + 16))()
        count = llama.llama_tokenize(self.vocabulary, data, len(data), room, len(room), True, True)
        assert count >= 0, f"llama_tokenize returned {count}"
        return list(room[:count])

    def text(self, ids):
        room = ctypes.create_string_buffer(256)
        pieces = [room.raw[:max(0, llama.llama_token_to_piece(self.vocabulary, i, room, 256, 0, False))] for i in ids]
        return b"".join(pieces).decode(errors="replace")

    def logits(self, ids):
        """Logits (T,V) of a sequence from an empty cache."""
        llama.llama_memory_clear(llama.llama_get_memory(self.context), True)
        batch = llama.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
            batch.seq_id[i][0] = 0
        status = llama.llama_decode(self.context, batch)
        assert status == 0, f"llama_decode returned {status}"
        out = numpy.ctypeslib.as_array(llama.llama_get_logits(self.context), (len(ids), self.size)).copy()
        llama.llama_batch_free(batch)
        return out

    def greedy(self, prompt, steps):
        ids, margins = list(prompt), []
        for _ in range(steps):
            last = self.logits(ids)[-1]
            best, second = numpy.sort(last)[-1], numpy.sort(last)[-2]
            if llama.llama_vocab_is_eog(self.vocabulary, int(last.argmax())):
                break
            margins.append(float(best - second))
            ids.append(int(last.argmax()))
        return ids[len(prompt):], margins

    def perplexity(self, ids):
        total = count = 0
        for first in range(0, len(ids) - BLOCK + 1, BLOCK):
            block = ids[first:first + BLOCK]
            scores = self.logits(block)[:-1].astype(numpy.float64)
            scores -= scores.max(axis=1, keepdims=True)
            loss = numpy.log(numpy.exp(scores).sum(axis=1)) - scores[numpy.arange(BLOCK - 1), block[1:]]
            total, count = total + loss.sum(), count + len(loss)
        return math.exp(total / count)

    def close(self):
        if self.context:
            llama.llama_free(self.context)
        llama.llama_model_free(self.model)


REQUIRED = ("general.architecture", "gemma2.context_length", "gemma2.embedding_length", "gemma2.block_count",
            "gemma2.feed_forward_length", "gemma2.attention.head_count", "gemma2.attention.head_count_kv",
            "gemma2.attention.layer_norm_rms_epsilon", "gemma2.attention.key_length", "gemma2.attention.value_length",
            "gemma2.attention.sliding_window", "gemma2.attn_logit_softcapping", "gemma2.final_logit_softcapping",
            "gemma2.rope.freq_base", "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens",
            "tokenizer.ggml.token_type", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.add_bos_token",
            "tokenizer.ggml.add_space_prefix")


def check_keys(path, kind, source):
    """Reads every key and tensor with the package gguf. Returns a note."""
    from safetensors.numpy import load_file
    reader = gguf.GGUFReader(path)
    for field in reader.fields.values():
        field.contents()
    missing = [key for key in REQUIRED if key not in reader.fields]
    if reader.fields["tokenizer.ggml.model"].contents() == "gpt2":
        missing = [key for key in missing if key != "tokenizer.ggml.add_space_prefix"]
    assert not missing, f"keys missing: {missing}"
    stored = {tensor.name: tensor for tensor in reader.tensors}
    weights = {}
    for file in sorted(source.glob("*.safetensors")):
        weights |= load_file(file)
    kinds = {tensor.tensor_type.name for tensor in reader.tensors if len(tensor.shape) == 2}
    for ours, theirs, plus in (("transformer.wte.weight", "token_embd.weight", 0),
                               ("transformer.h.0.attn.k_proj.weight", "blk.0.attn_k.weight", 0),
                               ("transformer.h.0.mlp.down_proj.weight", "blk.0.ffn_down.weight", 0),
                               ("transformer.ln_f.weight", "output_norm.weight", 1)):
        tensor, expected = stored[theirs], weights[ours].astype(numpy.float32) + plus
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(expected.shape)
        allowed = {"f32": 0, "f16": 1e-3, "bf16": 8e-3, "q8_0": 1e-2, "q4_0": 0.2}[kind] * abs(expected).max()
        error = abs(values - expected).max()
        assert error <= (0 if plus else allowed), f"{theirs} differs by {error}"
    return f"{len(reader.fields)} keys, {len(stored)} tensors, matrices {sorted(kinds)}"


def main():
    programs, source = Programs(sys.argv[1]), Path(sys.argv[2])
    page = Path(sys.argv[3]) if len(sys.argv) > 3 else ROOT / "docs" / "tutorial.md"
    keep = llama.llama_log_callback(lambda level, text, user: None)
    llama.llama_log_set(keep, None)
    llama.llama_backend_init()
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        files = {kind: Path(folder) / f"{kind}.gguf" for kind in ("f32", "f16", "bf16", "q8_0", "q4_0")}
        for kind, path in files.items():
            def convert():
                programs.convert(source, path, "gguf", "--dtype", kind)
                return check_keys(path, kind, source)
            report.check(f"convert to {kind}, keys and tensors by gguf", convert)
        original = Llama(files["f32"])
        texts = make_texts(TEXTS)

        def ids():
            ours = programs.token_ids(source, texts)
            differ = [(text, own, them) for text, own in zip(texts, ours) if own != (them := original.tokenize(text))]
            assert not differ, f"{len(differ)} of {len(texts)} differ, such as {differ[:2]}"
            from_file = programs.token_ids(files["f32"], texts)
            differ = [text for text, own, read in zip(texts, ours, from_file) if own != read]
            assert not differ, f"{len(differ)} of {len(texts)} read from the GGUF differ, such as {differ[:2]!r}"
            return f"{len(texts)} texts"

        def completions():
            prompts = ["The ", "In the beginning", "Once upon a time there was a", "I ", "KING HENRY:\n"]
            compared = 0
            for prompt in prompts:
                them, margins = original.greedy(original.tokenize(prompt), 40)
                sure = next((i for i, margin in enumerate(margins) if margin < MARGIN), len(margins))
                expected = original.text(them[:sure]).rstrip("\n\ufffd")
                for path in (source, files["f32"]):
                    own = programs.run("generate", "--model_path", path, "--prompt", prompt, "--no_do_sample",
                                       "--max_new_tokens", 40)
                    assert own.startswith(expected), f"after {prompt!r} ours {own!r}, llama.cpp {expected!r}"
                compared += sure
            assert compared >= len(prompts), f"only {compared} tokens are certain"
            return f"{compared} tokens after {len(prompts)} prompts"

        report.check("token ids", ids)
        report.check("greedy text in F32", completions)
        text = page.read_text(encoding="utf-8")[:60000]
        tokens = original.tokenize(text)
        reference = original.perplexity(tokens)
        original.close()
        for kind, limit in LIMITS.items():
            def perplexity():
                model = Llama(files[kind])
                value = model.perplexity(tokens)
                model.close()
                assert abs(value / reference - 1) <= limit, f"{value:.4f} is over {limit:.1%} from {reference:.4f}"
                return f"{value:.4f}, F32 {reference:.4f}, {value / reference - 1:+.3%} of {len(tokens)} tokens"
            report.check(f"perplexity {kind}", perplexity)
    report.finish()


main()
