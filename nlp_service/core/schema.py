"""What goes in and what comes out: the same JSON on every surface (API, command line, scored files)."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nlp_service.core.text import readable

Decision = Literal["auto", "suggest"]
LanguageTag = Literal["es", "en", "mixed", "other", "unknown"]
Status = Literal["ok", "language_unsupported", "no_text", "failed"]


def _readable(value: object) -> object:
    return readable(value) if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_readable)]
"""A customer's words, in which lone surrogates have become U+FFFD: one half of an emoji must not cost the text."""


class _Out(BaseModel):
    model_config = ConfigDict(frozen=True)


class Feedback(BaseModel):
    """One piece of customer feedback. `text` may be empty; `id` is handed back untouched."""

    model_config = ConfigDict(frozen=True)

    id: str | None = None
    text: Text


class LabelScore(_Out):
    """An accepted label: its calibrated probability and whether it is meant to be acted on without a person (`auto`)."""

    label: str
    probability: float = Field(ge=0, le=1)
    decision: Decision


class EmotionScore(LabelScore):
    cluster: str


class TouchpointScore(LabelScore):
    stage: str


class SentimentScore(_Out):
    """`score` = P(positive) - P(negative), from -1 to 1; `label` is the most probable class."""

    label: str
    score: float = Field(ge=-1, le=1)
    probabilities: dict[str, float]


class Span(_Out):
    """A stretch of the original text. Offsets count Unicode code points; `end` is exclusive."""

    start: int
    end: int
    text: str


class SegmentAnalysis(Span):
    """A clause and the text's accepted labels that show in it."""

    language: LanguageTag
    emotions: list[EmotionScore]
    touchpoints: list[TouchpointScore]


class Pair(_Out):
    """An emotion about a touchpoint (`general`: about nothing in particular), with the clauses that carry it."""

    touchpoint: str
    emotion: str
    probability: float = Field(ge=0, le=1)
    evidence: list[Span]


class ModelInfo(_Out):
    name: str
    version: str
    taxonomy: int


class Analysis(_Out):
    """The answer for one text.

    `status` says why there are no labels where there are none to give: `language_unsupported` (neither Spanish nor
    English), `no_text` (empty, or without a single letter), or `failed` (the model broke on this one among several texts; the log
    says how). `sentiment` is null exactly then. `scores` holds every
    label's probability and is there only when asked for.
    """

    id: str | None = None
    status: Status = "ok"
    language: LanguageTag
    sentiment: SentimentScore | None
    emotions: list[EmotionScore] = []
    touchpoints: list[TouchpointScore] = []
    signals: list[LabelScore] = []
    segments: list[SegmentAnalysis] = []
    pairs: list[Pair] = []
    model: ModelInfo
    scores: dict[str, dict[str, float]] | None = Field(default=None, exclude_if=lambda value: value is None)
