"""One text at a time: the whole pipeline against the bare network on the same tokens."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlp_service.core.schema import Feedback
from nlp_service.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Single:
    """Milliseconds a text: the whole pipeline (median and 99th percentile), the network alone, and their ratio at the median."""

    model: str
    engine: str
    p50: float
    p99: float
    network_p50: float
    ratio: float


def single(model: Path, precision: Any, texts: Sequence[str], rounds: int = 3) -> Single:
    """Each text is read in turns by the pipeline and, prepared before, by its network."""
    pipeline = Pipeline.load(model, precision=precision)
    feedback = [Feedback(text=text) for text in texts]
    batches = [pipeline.start([item]) for item in feedback]
    pipeline.analyze(feedback)
    whole, bare = [], []
    for _ in range(rounds):
        for item, batch in zip(feedback, batches, strict=True):
            whole.append(_milliseconds(lambda item=item: pipeline.analyze([item])))
            bare.append(_milliseconds(lambda batch=batch: pipeline.runtime.infer(batch.windows)))
    p50, p99 = np.percentile(whole, [50, 99])
    network = float(np.median(bare))
    return Single(pipeline.info.name, pipeline.runtime.description, float(p50), float(p99), network, float(p50) / network)


def _milliseconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)
