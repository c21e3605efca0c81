"""From probabilities to decisions: calibration, thresholds with what they measured, and the relation of emotion and touchpoint."""

import math
from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Platt(_Strict):
    """Calibrated probability = sigmoid(scale * logit + bias) (Platt 1999)."""

    scale: float = Field(1.0, gt=0)
    bias: float = 0.0


class Band(_Strict):
    """A threshold on the calibrated probability, and what it measured on the held-back data that it was chosen on.

    `precision` and `recall` of the decisions above it; `support` is the number of texts that truly have the label.
    """

    threshold: float = Field(ge=0, le=1)
    precision: float | None = None
    recall: float | None = None
    support: int = Field(0, ge=0)


class Bands(_Strict):
    """`suggest`: best F1. `auto`: the lowest threshold with the precision that is aimed at; absent where none was found."""

    suggest: Band
    auto: Band | None = None


class Calibration(_Strict):
    """Per language: the Platt parameters of every multi-label label, and the temperature that divides the sentiment logits.

    `clause_margin`: how far, in log-odds, a clause may stand behind the best clause of a label and still show it.
    """

    labels: dict[str, dict[str, Platt]]
    temperature: dict[str, Annotated[float, Field(gt=0)]]
    clause_margin: float = Field(1.0, ge=0)

    @classmethod
    def none(cls, labels: Iterable[str], languages: Iterable[str]) -> "Calibration":
        """Probabilities as the model gives them."""
        languages, table = list(languages), {label: Platt() for label in labels}
        return cls(labels=dict.fromkeys(languages, table), temperature=dict.fromkeys(languages, 1.0))


class PairFeatures(BaseModel):
    """What PairModel sees of an emotion and a touchpoint that the text both shows."""

    model_config = ConfigDict(frozen=True)

    emotion: float = Field(description="log-odds of the emotion on the text")
    touchpoint: float = Field(description="log-odds of the touchpoint on the text")
    joint: float = Field(description="log-odds of the product of both probabilities, in the clause where it is highest")
    same: float = Field(description="that product over the product of the best clause of each: 1 where one clause is best for both")
    share: float = Field(description="of the text's touchpoints in the clause that shows the emotion best, the share of this one")
    only: float = Field(description="1 where the text shows no other touchpoint")


class PairModel(_Strict):
    """Logistic model of "this emotion is about this touchpoint": one weight for each of PairFeatures."""

    bias: float = -1.3
    emotion: float = 0.1
    touchpoint: float = 0.1
    joint: float = 0.7
    same: float = 1.0
    share: float = 1.0
    only: float = 0.3
    band: Band = Band(threshold=0.5)

    def probability(self, features: PairFeatures) -> float:
        """P(pair) in (0, 1)."""
        z = self.bias + sum(getattr(self, name) * getattr(features, name) for name in PairFeatures.model_fields)
        return 1 / (1 + math.exp(-z))
