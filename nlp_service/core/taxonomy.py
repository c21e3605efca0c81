"""The labels and what they mean. Labels are data: they come from a versioned file or from a bundle's manifest."""

from functools import cached_property
from importlib.resources import files
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from nlp_service.core.errors import TaxonomyError

Head = Literal["emotions", "touchpoints", "sentiment", "signals"]
HEADS: tuple[Head, ...] = ("emotions", "touchpoints", "sentiment", "signals")
MULTI_LABEL_HEADS: tuple[Head, ...] = ("emotions", "touchpoints", "signals")
CLAUSE_HEADS: tuple[Head, ...] = ("emotions", "touchpoints")
"""Heads whose labels are told for each clause, not only for the text."""

GENERAL = "general"
"""Touchpoint of a pair whose emotion is about nothing in particular; it is no label of the touchpoint head."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Label(_Strict):
    """One label: a stable `id` and its name in each language."""

    id: str
    es: str
    en: str


class Emotion(Label):
    """An emotion with its cluster of value (Shaw 2007) and its valence (-1, 0 or 1)."""

    cluster: str
    valence: Literal[-1, 0, 1]


class Touchpoint(Label):
    """A moment of the journey with its stage and its kind of clue (Haeckel, Carbone & Berry 2003)."""

    stage: str
    clue: Literal["functional", "mechanic", "humanic"]


class Taxonomy(_Strict):
    """All labels of one version. The order of the labels is the order of the model's outputs."""

    version: int
    languages: tuple[str, ...]
    emotions: tuple[Emotion, ...]
    stages: tuple[str, ...]
    touchpoints: tuple[Touchpoint, ...]
    sentiment: tuple[Label, ...]
    signals: tuple[Label, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = self.label_ids
        repeated = sorted({i for i in ids if ids.count(i) > 1})
        if repeated:
            raise ValueError(f"labels defined twice: {repeated}")
        if GENERAL in ids:
            raise ValueError(f"{GENERAL!r} is reserved for pairs")
        unknown = sorted({t.stage for t in self.touchpoints} - set(self.stages))
        if unknown:
            raise ValueError(f"touchpoints name unknown stages: {unknown}")
        return self

    @classmethod
    def parse(cls, data: Any) -> "Taxonomy":
        """The taxonomy in `data` (a parsed YAML or JSON object). Raises TaxonomyError naming each fault."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise TaxonomyError(f"taxonomy: {error}") from error

    @classmethod
    def default(cls) -> "Taxonomy":
        """The taxonomy that this release ships."""
        return cls.parse(yaml.safe_load(files("nlp_service.core").joinpath("taxonomy.yaml").read_text("utf-8")))

    @cached_property
    def label_ids(self) -> tuple[str, ...]:
        """Every label of every head, in the order of the model's outputs."""
        return tuple(label.id for head in HEADS for label in self.labels(head))

    @cached_property
    def multi_label_ids(self) -> tuple[str, ...]:
        """The labels that have a calibration and thresholds: all but those of sentiment."""
        return tuple(label.id for head in MULTI_LABEL_HEADS for label in self.labels(head))

    @cached_property
    def slices(self) -> dict[Head, slice]:
        """Where each head's labels stand in `label_ids`."""
        out: dict[Head, slice] = {}
        start = 0
        for head in HEADS:
            out[head] = slice(start, start + len(self.labels(head)))
            start = out[head].stop
        return out

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each label id in `label_ids`."""
        return {label: i for i, label in enumerate(self.label_ids)}

    def labels(self, head: Head) -> tuple[Label, ...]:
        """The labels of one head."""
        labels: tuple[Label, ...] = getattr(self, head)
        return labels
