"""Writes a model as the GGUF file that llama.cpp reads (architecture gemma2, whose graph computes this model exactly):
of a folder with config.json, model.safetensors and tokenizer.json, or of a size with random weights, to measure.

write_gguf.py {FOLDER|small|medium|large|xl} OUTPUT.gguf [--type F32|BF16|Q8_0|Q4_0]

Needs numpy, gguf and, for a folder, safetensors.
"""

import argparse
import functools
import json
from pathlib import Path

import gguf
import numpy as np

SIZES = {"tiny": (4, 256, 4), "small": (12, 768, 12), "medium": (24, 1024, 16), "large": (36, 1280, 20), "xl": (48, 1600, 25)}
FILE_TYPES = {
    "F32": gguf.LlamaFileType.ALL_F32,
    "BF16": gguf.LlamaFileType.MOSTLY_BF16,
    "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}
NO_CAP = 1e5  # the graph always applies a cap; this one changes no logit

LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "attn.q_proj": "attn_q",
    "attn.k_proj": "attn_k",
    "attn.v_proj": "attn_v",
    "attn.o_proj": "attn_output",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def gguf_name(name):
    if name == "transformer.wte.weight":
        return "token_embd.weight"
    if name == "transformer.ln_f.weight":
        return "output_norm.weight"
    layer, rest = name.removeprefix("transformer.h.").split(".", 1)
    return f"blk.{layer}.{LAYER_NAMES[rest.removesuffix('.weight')]}.weight"


class Random:
    """A size of GPT-2 with random weights and the vocabulary of 32000 that is measured everywhere."""

    def __init__(self, size):
        layers, width, heads = SIZES[size]
        self.config = {"vocab_size": 32000, "n_positions": 1024, "n_embd": width, "n_layer": layers, "n_head": heads}

    def tensors(self):
        width = self.config["n_embd"]
        inner = 4 * width
        shapes = {"gate_proj": (inner, width), "up_proj": (inner, width), "down_proj": (width, inner)}
        yield "transformer.wte.weight", self.matrix((self.config["vocab_size"], width))
        for layer in range(self.config["n_layer"]):
            for name in LAYER_NAMES:
                part = name.split(".")[-1]
                shape = shapes.get(part, (width, width))
                values = np.zeros(width, np.float32) if part.endswith("norm") else self.matrix(shape)
                yield f"transformer.h.{layer}.{name}.weight", values
        yield "transformer.ln_f.weight", np.zeros(width, np.float32)

    @staticmethod
    @functools.cache  # equal tensors in all layers: results are not used
    def matrix(shape):
        return np.random.default_rng(1).standard_normal(shape, np.float32) * np.float32(0.02)

    def tokens(self):
        """Distinct placeholder pieces; llama.cpp requires the byte tokens."""
        special = [("<pad>", gguf.TokenType.CONTROL), ("<unk>", gguf.TokenType.UNKNOWN), ("</s>", gguf.TokenType.CONTROL)]
        pieces = special + [(f"<0x{b:02X}>", gguf.TokenType.BYTE) for b in range(256)]
        return pieces + [(f"piece{i}", gguf.TokenType.NORMAL) for i in range(len(pieces), self.config["vocab_size"])]

    def id_of(self, name):
        return {"pad": 0, "unk": 1, "eos": 2}[name]


class Folder:
    """A trained checkpoint of this project."""

    def __init__(self, folder):
        self.folder = folder
        self.config = json.loads((folder / "config.json").read_text())
        for field, only in [("tie_word_embeddings", True), ("activation_function", "gelu_pytorch_tanh"), ("attention_bias", False)]:
            if self.config.get(field, only) != only:
                raise SystemExit(f"write_gguf.py: {folder}/config.json has {field} {self.config[field]}: llama.cpp's gemma2 knows only {only}")

    def tensors(self):
        from safetensors import safe_open

        with safe_open(self.folder / "model.safetensors", framework="numpy") as file:
            for name in file.keys():
                yield name, file.get_tensor(name).astype(np.float32)

    def tokens(self):
        file = json.loads((self.folder / "tokenizer.json").read_text())
        names, types = {}, {}
        for piece, token in file["model"]["vocab"].items():
            is_byte = len(piece) == 6 and piece.startswith("<0x")
            names[token], types[token] = piece, gguf.TokenType.BYTE if is_byte else gguf.TokenType.NORMAL
        for added in file["added_tokens"]:
            kind = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
            names[added["id"]], types[added["id"]] = added["content"], kind
        types[self.id_of("unk")] = gguf.TokenType.UNKNOWN
        return [(names.get(i, f"[unused{i}]"), types.get(i, gguf.TokenType.UNUSED)) for i in range(self.config["vocab_size"])]

    def id_of(self, name):
        """Token id of the config, else the default of train_tokenizer."""
        token = self.config.get(f"{name}_token_id")
        token = token[0] if isinstance(token, list) else token
        return {"pad": 0, "unk": 1, "eos": 2}[name] if token is None else token


def write_config(writer, c):
    head_dim = c.get("head_dim") or c["n_embd"] // c["n_head"]
    writer.add_context_length(c["n_positions"])
    writer.add_embedding_length(c["n_embd"])
    writer.add_block_count(c["n_layer"])
    writer.add_feed_forward_length(c.get("intermediate_size") or c.get("n_inner") or 4 * c["n_embd"])
    writer.add_head_count(c["n_head"])
    writer.add_head_count_kv(c.get("num_key_value_heads") or c["n_head"])
    writer.add_layer_norm_rms_eps(c.get("rms_norm_eps", 1e-6))
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_sliding_window(c["n_positions"])
    writer.add_attn_logit_softcapping(c.get("attn_logit_softcapping") or NO_CAP)
    writer.add_final_logit_softcapping(c.get("final_logit_softcapping") or NO_CAP)
    writer.add_rope_freq_base(c.get("rope_theta", 10000.0))
    factor = (c.get("rope_scaling") or {}).get("factor") or c.get("rope_scaling_factor") or 1
    if factor != 1:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(factor)
    # llama.cpp scales queries by head_dim^-0.5: another scale is folded into the projection.
    return (c.get("query_pre_attn_scalar") or head_dim**-0.5) * head_dim**0.5


def write_tokens(writer, source):
    tokens = source.tokens()
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([name for name, _ in tokens])
    # A pair is joined by the highest score first: the order of the ids, as the merges of tokenizer.json.
    writer.add_token_scores([-float(i) for i in range(len(tokens))])
    writer.add_token_types([int(kind) for _, kind in tokens])
    writer.add_eos_token_id(source.id_of("eos"))
    writer.add_unk_token_id(source.id_of("unk"))
    writer.add_pad_token_id(source.id_of("pad"))
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="a folder, or a size")
    parser.add_argument("output", type=Path)
    parser.add_argument("--type", choices=["F32", "BF16", "Q8_0", "Q4_0"], default="BF16", help="of the matrices; norms are F32")
    options = parser.parse_args()
    source = Random(options.source) if options.source in SIZES else Folder(Path(options.source))
    matrix_type = gguf.GGMLQuantizationType[options.type]
    writer = gguf.GGUFWriter(options.output, "gemma2", use_temp_file=True)
    fold = write_config(writer, source.config)
    writer.add_file_type(FILE_TYPES[options.type])
    write_tokens(writer, source)
    for name, values in source.tensors():
        if values.ndim == 1:  # ours multiply by 1 + w, llama.cpp's norms by w
            writer.add_tensor(gguf_name(name), values + np.float32(1))
            continue
        if name.endswith("q_proj.weight"):
            values = values * np.float32(fold)
        stored = values if options.type == "F32" else gguf.quants.quantize(values, matrix_type)
        writer.add_tensor(gguf_name(name), stored, raw_dtype=matrix_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
