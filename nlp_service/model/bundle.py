"""A bundle: the folder that holds a trained model, with a manifest that everything else is checked against.

manifest.json       labels, text preparation, calibration, thresholds, sha256 of the other files, metrics
model.safetensors   weights (fp16), named as in `transformers`
tokenizer.json      the tokenizer
README.md           the model card, for people
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from tokenizers import Tokenizer

from nlp_service.core.decisions import Bands, Calibration, PairModel
from nlp_service.core.errors import BundleError
from nlp_service.core.schema import ModelInfo
from nlp_service.core.taxonomy import Taxonomy
from nlp_service.model.encoding import CLS, SEP

INPUT_CENTRE, INPUT_REACH = "input_centre", "input_reach"
"""Beside the weights of a linear layer of the encoder, where the network was trained for int8: channel c of its input is rounded to 256
steps over centre[c] ± reach[c]."""
MANIFEST, WEIGHTS, TOKENIZER = "manifest.json", "model.safetensors", "tokenizer.json"
FORMAT = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Architecture(_Strict):
    """Sizes of the encoder (BERT kind). `position_offset` is 0 for BERT and padding index + 1 for XLM-RoBERTa."""

    vocab_size: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    positions: int = Field(gt=0)
    token_types: int = Field(gt=0)
    layer_norm_eps: float = Field(gt=0)
    position_offset: int = Field(0, ge=0)
    pad_token_id: int = Field(ge=0)
    attention_soft_cap: float = Field(gt=0)

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_size % self.heads:
            raise ValueError(f"heads: {self.heads} do not divide hidden_size {self.hidden_size}")
        return self


class PreparationSettings(_Strict):
    """`max_tokens` a window, special tokens included."""

    max_tokens: int = Field(ge=16)


class Manifest(_Strict):
    """Everything a runtime needs to know of a bundle. Unknown keys are refused."""

    format: int
    name: str
    version: str
    created: str
    architecture: Architecture
    preparation: PreparationSettings
    taxonomy: Taxonomy
    calibration: Calibration
    thresholds: dict[str, Bands]
    pairs: PairModel
    files: dict[str, str]
    metrics: dict[str, Any] = {}
    training: dict[str, Any] = {}

    @property
    def info(self) -> ModelInfo:
        """What every analysis says of the model that made it."""
        return ModelInfo(name=self.name, version=self.version, taxonomy=self.taxonomy.version)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.format != FORMAT:
            raise ValueError(f"format {self.format} is not {FORMAT}")
        labels = set(self.taxonomy.multi_label_ids)
        tables = {"thresholds": self.thresholds.keys(), **{f"calibration.labels.{k}": v.keys() for k, v in self.calibration.labels.items()}}
        for what, keys in tables.items():
            if set(keys) != labels:
                raise ValueError(f"{what} and the taxonomy differ in {sorted(labels.symmetric_difference(keys))}")
        for what, languages in (("labels", self.calibration.labels), ("temperature", self.calibration.temperature)):
            if set(languages) != set(self.taxonomy.languages):
                raise ValueError(f"calibration.{what} must have exactly the languages {list(self.taxonomy.languages)}")
        if set(self.files) != {WEIGHTS, TOKENIZER}:
            raise ValueError(f"files must name exactly {WEIGHTS} and {TOKENIZER}")
        room = (self.architecture.positions - self.architecture.position_offset) // 8 * 8  # runtimes pad to multiples of 8
        if self.preparation.max_tokens > room:
            raise ValueError(f"preparation.max_tokens {self.preparation.max_tokens} is more than the {room} positions of the encoder")
        return self


def is_range(name: str) -> bool:
    """Whether the tensor `name` tells the range of an input, which only a network that was trained for int8 has."""
    return name.endswith((INPUT_CENTRE, INPUT_REACH))


class Bundle:
    """A bundle whose files are what its manifest says they are."""

    def __init__(self, manifest: Manifest, tokenizer: Tokenizer, weights: dict[str, NDArray[np.floating]]) -> None:
        self.manifest, self.tokenizer, self.weights = manifest, tokenizer, weights

    @property
    def rounded(self) -> bool:
        """Whether the network was trained to be multiplied in int8."""
        return any(map(is_range, self.weights))

    @property
    def taxonomy(self) -> Taxonomy:
        """The taxonomy that the model was trained with."""
        return self.manifest.taxonomy

    @classmethod
    def load(cls, folder: Path) -> "Bundle":
        """Reads and verifies `folder`. Raises BundleError naming the file that is missing, altered or inconsistent."""
        manifest = read_manifest(folder)
        data = {name: _verified(folder / name, digest) for name, digest in manifest.files.items()}
        try:
            weights = load_safetensors(data[WEIGHTS])
        except SafetensorError as error:
            raise BundleError(f"{folder / WEIGHTS}: {error}") from error
        try:
            tokenizer = Tokenizer.from_str(data[TOKENIZER].decode("utf-8"))
        except Exception as error:  # tokenizers raises nothing more precise
            raise BundleError(f"{folder / TOKENIZER}: {error}") from error
        _check_shapes(folder, manifest, tokenizer, weights)
        return cls(manifest, tokenizer, weights)


def read_manifest(folder: Path) -> Manifest:
    """The manifest alone. Raises BundleError."""
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise BundleError(f"{path}: no such file; a bundle is a folder with {MANIFEST}, {WEIGHTS} and {TOKENIZER}") from error
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: {error}") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes or replaces the manifest."""
    (folder / MANIFEST).write_text(json.dumps(manifest.model_dump(mode="json"), ensure_ascii=False, indent=1) + "\n", "utf-8")


def sha256(data: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(data).hexdigest()


def _verified(path: Path, digest: str) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise BundleError(f"{path}: no such file") from error
    except OSError as error:
        raise BundleError(f"{path}: {error}") from error
    if sha256(data) != digest:
        raise BundleError(f"{path}: its sha256 is not the one in {MANIFEST}; the file was altered or is incomplete")
    return data


def _check_shapes(folder: Path, manifest: Manifest, tokenizer: Tokenizer, weights: dict[str, NDArray[np.floating]]) -> None:
    shape = manifest.architecture
    expected = _shapes(shape, len(manifest.taxonomy.label_ids), any(name.endswith(INPUT_CENTRE) for name in weights))
    for name, wanted in expected.items():
        found = weights[name].shape if name in weights else None
        if found != wanted:
            raise BundleError(f"{folder / WEIGHTS}: {name} is {found}, the manifest wants {wanted}")
    if unread := sorted(weights.keys() - expected.keys()):
        raise BundleError(f"{folder / WEIGHTS}: no part of the network reads {', '.join(unread[:5])}")
    if missing := [token for token in (CLS, SEP) if tokenizer.token_to_id(token) is None]:
        raise BundleError(f"{folder / TOKENIZER}: lacks {' and '.join(missing)}")
    if tokenizer.get_vocab_size() != shape.vocab_size:
        raise BundleError(f"{folder / TOKENIZER}: {tokenizer.get_vocab_size()} pieces, the manifest wants {shape.vocab_size}")


def _shapes(shape: Architecture, labels: int, rounded: bool) -> dict[str, tuple[int, ...]]:
    """Every tensor that the runtimes read."""
    hidden, inner = shape.hidden_size, shape.intermediate_size
    linear = {
        "attention.self.query": (hidden, hidden), "attention.self.key": (hidden, hidden), "attention.self.value": (hidden, hidden),
        "attention.output.dense": (hidden, hidden), "intermediate.dense": (inner, hidden), "output.dense": (hidden, inner),
    }  # fmt: skip
    out: dict[str, tuple[int, ...]] = {
        "encoder.embeddings.word_embeddings.weight": (shape.vocab_size, hidden),
        "encoder.embeddings.position_embeddings.weight": (shape.positions, hidden),
        "encoder.embeddings.token_type_embeddings.weight": (shape.token_types, hidden),
        "heads.query.weight": (labels, hidden),
        "heads.value.weight": (labels, hidden),
        "heads.value.bias": (labels,),
    }
    norms = ["encoder.embeddings.LayerNorm"]
    for i in range(shape.layers):
        prefix = f"encoder.encoder.layer.{i}."
        norms += [prefix + "attention.output.LayerNorm", prefix + "output.LayerNorm"]
        for name, size in linear.items():
            out |= {f"{prefix}{name}.weight": size, f"{prefix}{name}.bias": size[:1]}
            if rounded:
                out |= {f"{prefix}{name}.{part}": size[1:] for part in (INPUT_CENTRE, INPUT_REACH)}
    for name in norms:
        out |= {f"{name}.weight": (hidden,), f"{name}.bias": (hidden,)}
    return out
