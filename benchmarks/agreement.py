"""How far the answers in the precision of this machine are from those in fp32."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlp_service.core.schema import Analysis, Feedback
from nlp_service.core.taxonomy import MULTI_LABEL_HEADS
from nlp_service.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of `texts` texts read by `engine` and in fp32.

    `flipped`, `flipped_auto`: shares of all decisions (texts times labels) in which one gives the label, or gives it as `auto`, and the
    other does not; `accepted`: the flipped ones over the labels that fp32 gives. Of the differences of all probabilities: the mean, two
    percentiles and the largest. `company`: the largest difference between a text alone and among the others.
    """

    model: str
    engine: str
    texts: int
    flipped: float
    flipped_auto: float
    accepted: float
    mean: float
    p99: float
    p999: float
    largest: float
    company: float


def agreement(model: Path, precision: Any, texts: Sequence[str], alone: int = 200) -> Agreement:
    """Reads `texts` twice, and the first `alone` of them one by one too."""
    exact, fast = (Pipeline.load(model, precision=kind) for kind in ("fp32", precision))
    feedback = [Feedback(text=text) for text in texts]
    ours, wanted = (pipeline.analyze(feedback, scores=True) for pipeline in (fast, exact))
    read = [(a, b) for a, b in zip(ours, wanted, strict=True) if a.scores and b.scores]
    difference = np.abs(np.array([probabilities(a) for a, _ in read]) - np.array([probabilities(b) for _, b in read]))
    labels = len(exact.taxonomy.multi_label_ids)
    flips, auto_flips = (sum(len(given(a, kinds) ^ given(b, kinds)) for a, b in read) for kinds in (("auto", "suggest"), ("auto",)))
    accepted = sum(len(given(b, ("auto", "suggest"))) for _, b in read)
    single = [fast.analyze([item], scores=True)[0] for item in feedback[:alone]]
    company = max(np.abs(np.subtract(probabilities(a), probabilities(b))).max() for a, b in zip(single, ours, strict=False) if a.scores)
    return Agreement(
        exact.info.name, fast.runtime.description, len(read),
        flips / (len(read) * labels), auto_flips / (len(read) * labels), flips / max(1, accepted),
        float(difference.mean()), *(float(x) for x in np.percentile(difference, [99, 99.9])), float(difference.max()), float(company),
    )  # fmt: skip


def probabilities(analysis: Analysis) -> list[float]:
    """Of all labels, as `scores` has them."""
    return [p for head in (analysis.scores or {}).values() for p in head.values()]


def given(analysis: Analysis, kinds: tuple[str, ...]) -> set[str]:
    """The labels that the text has by a decision of these kinds."""
    return {score.label for head in MULTI_LABEL_HEADS for score in getattr(analysis, head) if score.decision in kinds}
