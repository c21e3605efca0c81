"""Recipes: everything a training run depends on, in one strict YAML file. Unknown keys are errors, and so are missing files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nlp_service.core.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Trim(_Strict):
    """How the vocabulary is cut: the `words` commonest words of each language, and pieces that `min_count` texts of the corpora hold."""

    languages: list[str] = ["es", "en"]
    words: int = Field(30_000, gt=0)
    min_count: int = Field(2, gt=0)


class EncoderConfig(_Strict):
    """`source`: a hub id, a local folder, or `offline` (training/base_model.py)."""

    source: str = "intfloat/multilingual-e5-small"
    trim: Trim | None = Trim()
    layers: int | None = Field(None, gt=0, description="keep only this many layers, evenly spread")


class _Source(_Strict):
    name: str
    rows_per_epoch: int | None = Field(None, gt=0, description="drawn anew each epoch; all rows where absent")
    loss_weight: float = Field(1.0, gt=0)
    noise: float = Field(0.0, ge=0, le=1, description="share of the rows that are read as if typed in a hurry (training/noise.py)")


class RecordSource(_Source):
    """Records of ours with their text (training/records.py); `paths` may hold wildcards, relative to the data folder."""

    kind: Literal["records"]
    paths: list[str]


class ReferenceSource(_Source):
    """Labels of ours kept by reference, joined with the rows of the corpora folder.

    `translations`: the row that is the same text in the other language gets the labels of the text too (not those of its clauses).
    """

    kind: Literal["references"]
    paths: list[str]
    translations: bool = False


class CorpusSource(_Source):
    """A public corpus with its native labels, folded into ours by a table of training/mappings/.

    `confident`: labels that the network of `start_from` contradicts confidently count as unknown (training/confident.py).
    """

    kind: Literal["corpus"]
    corpus: str
    languages: list[str] | None = None
    confident: bool = False


Source = Annotated[RecordSource | ReferenceSource | CorpusSource, Field(discriminator="kind")]


class Optimisation(_Strict):
    """`tokens_per_batch` counts padding; `segment_weight` is the share of the clause loss."""

    epochs: int = Field(gt=0)
    learning_rate: float = Field(5e-5, gt=0)
    head_learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.06, ge=0, lt=1)
    tokens_per_batch: int = Field(2048, gt=0)
    segment_weight: float = Field(0.5, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    dropout: float = Field(0.0, ge=0, lt=1, description="of the encoder's hidden states, not of its attention")
    positive_weight_power: float = Field(0.0, ge=0, le=1, description="weight of positives = (negatives / positives) ** power")
    negative_focus: float = Field(0.0, ge=0, description="asymmetric loss: negatives weigh p ** focus (Ridnik et al. 2021)")
    distillation: float = Field(0.5, ge=0, le=1, description="share of the loss that is the distance to the teacher, where there is one")
    state_distillation: float = Field(
        0.0, ge=0, description="weight of the distance to the teacher's states, layer by layer, beside the rest of the loss"
    )
    freeze_word_embeddings: bool = True
    rounded: bool = Field(False, description="round inputs and weights of the encoder to eight bits, for an engine that multiplies in int8")
    precision: Literal["auto", "no", "bf16", "fp16"] = Field("auto", description="auto: bf16 where the hardware multiplies it, else fp32")
    max_grad_norm: float = Field(1.0, gt=0)
    patience: int = Field(3, gt=0, description="epochs without a better score on the held-back split before stopping")
    checkpoint_minutes: float = Field(5.0, gt=0)


class Recipe(_Strict):
    """One training run. `name` becomes the bundle's name."""

    name: str
    seed: int = 13
    max_tokens: int = Field(384, ge=16, le=512)
    encoder: EncoderConfig = EncoderConfig()
    start_from: str | None = Field(
        None, description="a finished run whose best weights this one starts from; with fewer encoder.layers, by those that are kept"
    )
    teacher: str | None = Field(None, description="a finished run of the same vocabulary whose answers are learned beside the labels")
    sources: list[Source] = Field(min_length=1)
    optimisation: Optimisation

    @model_validator(mode="after")
    def _confident_needs_a_network(self) -> Self:
        if not self.start_from and any(isinstance(source, CorpusSource) and source.confident for source in self.sources):
            raise ValueError("a source that is `confident` needs `start_from`: the network that doubts its labels")
        return self


def load_recipe(path: Path, overrides: Mapping[str, str] | None = None) -> Recipe:
    """The recipe in `path`, with `overrides` (`optimisation.epochs` -> `"3"`, parsed as YAML) laid over it.

    Raises InputError naming the file and each wrong key.
    """
    return load_strict(path, Recipe, overrides)


def load_strict(path: Path, model: type[Model], overrides: Mapping[str, str] | None = None) -> Model:
    """The YAML file at `path` as `model`, in the way of `load_recipe`."""
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
        for key, value in (overrides or {}).items():
            _set(data, key.split("."), yaml.safe_load(value))
        return model.model_validate(data)
    except (OSError, yaml.YAMLError, ValidationError, InputError) as error:
        raise InputError(f"recipe {path}: {error}") from error


def _set(data: Any, keys: list[str], value: Any) -> None:
    for depth, key in enumerate(keys):
        if not isinstance(data, dict):
            raise InputError(f"{'.'.join(keys[:depth]) or 'the recipe'} holds no keys; {'.'.join(keys)} cannot be set")
        if depth == len(keys) - 1:
            data[key] = value
        else:
            data = data.setdefault(key, {})
