"""A complete bundle with random weights of a 2-layer, 32-wide encoder, and the tokenizer that goes with it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save
from tokenizers import Regex, Tokenizer, normalizers
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace

from nlp_service.core.decisions import Band, Bands, Calibration, PairModel, Platt
from nlp_service.core.taxonomy import MULTI_LABEL_HEADS, Taxonomy
from nlp_service.model.bundle import (
    FORMAT,
    TOKENIZER,
    WEIGHTS,
    Architecture,
    Bundle,
    Manifest,
    PreparationSettings,
    sha256,
    write_manifest,
)
from nlp_service.model.network import SOFT_CAP, CxNetwork, build_encoder

WORDS = [
    "el",
    "la",
    "pedido",
    "llegó",
    "tarde",
    "pero",
    "agente",
    "fue",
    "muy",
    "amable",
    "aunque",
    "factura",
    "no",
    "es",
    "correcta",
    "the",
    "order",
    "arrived",
    "late",
    "but",
    "agent",
    "was",
    "very",
    "kind",
    "however",
    "invoice",
    "is",
    "wrong",
    "servicio",
    "precio",
    "gracias",
    "thanks",
    "refund",
    "never",
    "came",
    "web",
    "app",
    "falla",
    "siempre",
    "hotel",
    "limpio",
    "clean",
    "room",
    "dirty",
]
PAD_ID = 1


def tiny_tokenizer() -> Tokenizer:
    """A unigram tokenizer with the special tokens of XLM-RoBERTa: whole words of WORDS, and letters for everything else."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -4.0)]
    pieces += [(f"▁{word}", -3.0 - i / 100) for i, word in enumerate(dict.fromkeys(WORDS))]
    pieces += [(letter, -8.0) for letter in "abcdefghijklmnopqrstuvwxyzáéíóúñü.,;!?0123456789"]
    tokenizer = Tokenizer(Unigram(pieces, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = Metaspace(replacement="▁", prepend_scheme="always", split=True)
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    return tokenizer


def tiny_architecture(position_offset: int = 0, **changes: Any) -> Architecture:
    """2 layers, 32 wide, 4 heads; `position_offset` 0 is BERT, 2 is XLM-RoBERTa with padding index 1."""
    sizes: dict[str, Any] = {
        "vocab_size": tiny_tokenizer().get_vocab_size(), "hidden_size": 32, "layers": 2, "heads": 4, "intermediate_size": 64,
        "positions": 64 + position_offset, "token_types": 1 if position_offset else 2, "layer_norm_eps": 1e-5,
        "position_offset": position_offset, "pad_token_id": PAD_ID, "attention_soft_cap": SOFT_CAP,
    }  # fmt: skip
    return Architecture(**{**sizes, **changes})


def tiny_network(shape: Architecture, labels: int, seed: int = 0) -> CxNetwork:
    """Random weights, large enough for logits that differ from text to text."""
    torch.manual_seed(seed)
    network = CxNetwork(build_encoder(shape), labels).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.3) if parameter.ndim > 1 else parameter.add_(torch.randn_like(parameter) * 0.1)
    return network


def tiny_manifest(files: dict[str, str], shape: Architecture, taxonomy: Taxonomy, max_tokens: int = 64) -> Manifest:
    """A manifest that agrees with itself; every language calibrated differently."""
    labels = [label.id for head in MULTI_LABEL_HEADS for label in taxonomy.labels(head)]
    bands = Bands(suggest=Band(threshold=0.5, precision=0.6, recall=0.7, support=9), auto=Band(threshold=0.8))
    return Manifest(
        format=FORMAT,
        name="tiny",
        version="2026.01",
        created="2026-01-01T00:00:00Z",
        architecture=shape,
        preparation=PreparationSettings(max_tokens=max_tokens),
        taxonomy=taxonomy,
        calibration=Calibration(
            labels={"es": dict.fromkeys(labels, Platt(scale=1.1, bias=0.1)), "en": dict.fromkeys(labels, Platt(scale=0.9, bias=-0.1))},
            temperature={"es": 1.2, "en": 0.8},
        ),
        thresholds=dict.fromkeys(labels, bands),
        pairs=PairModel(),
        files=files,
    )


def build_tiny_bundle(folder: Path, position_offset: int = 0, **changes: Any) -> Path:
    """Writes a bundle into `folder` (made if needed) and returns it; `changes` are fields of the Architecture."""
    folder.mkdir(parents=True, exist_ok=True)
    taxonomy, shape = Taxonomy.default(), tiny_architecture(position_offset, **changes)
    state = tiny_network(shape, len(taxonomy.label_ids)).state_dict()
    weights = {name: tensor.numpy().astype(np.float16) for name, tensor in state.items()}
    data = {WEIGHTS: save(weights), TOKENIZER: tiny_tokenizer().to_str().encode("utf-8")}
    for name, content in data.items():
        (folder / name).write_bytes(content)
    write_manifest(folder, tiny_manifest({name: sha256(content) for name, content in data.items()}, shape, taxonomy))
    return folder


def edit_manifest(folder: Path, edit: Any) -> None:
    """Applies `edit` to the parsed manifest of `folder`."""
    path = folder / "manifest.json"
    data = json.loads(path.read_text("utf-8"))
    edit(data)
    path.write_text(json.dumps(data), "utf-8")


def rewrite_weights(folder: Path, edit: Any) -> None:
    """Applies `edit` to the weights of `folder` and renews their digest, as a faulty export would."""
    weights = dict(Bundle.load(folder).weights)
    edit(weights)
    data = save(weights)
    (folder / WEIGHTS).write_bytes(data)
    edit_manifest(folder, lambda manifest: manifest["files"].update({WEIGHTS: sha256(data)}))
