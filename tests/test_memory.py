from dataclasses import replace
from typing import Any

import numpy as np

from nlp_service.core.decoding import TextLogits
from nlp_service.core.schema import Analysis, Feedback
from nlp_service.memory import Memory
from nlp_service.model.encoding import EncodedWindow
from nlp_service.model.runtime import Logits
from nlp_service.pipeline import Pipeline
from nlp_service.preparation import PreparedText

TEXTS = ["La entrega me dio frustración.", "El precio, alegría.", "", "12"]


class Counting:
    """The fake runtime, counting what it is given; it breaks on texts of more than 60 tokens."""

    description = "counting"

    def __init__(self, inner: Any) -> None:
        self.inner, self.windows = inner, 0

    def infer(self, windows: list[EncodedWindow]) -> list[Logits]:
        self.windows += len(windows)
        if any(len(window.input_ids) > 60 for window in windows):
            raise ValueError("too long")
        return self.inner.infer(windows)


def counting(memory_bytes: int) -> tuple[Pipeline, Counting]:
    pipeline = Pipeline.load("fake", memory_bytes=memory_bytes)
    pipeline.runtime = runtime = Counting(pipeline.runtime)
    return pipeline, runtime


def feedback(*texts: str) -> list[Feedback]:
    return [Feedback(id=str(i), text=text) for i, text in enumerate(texts)]


def test_a_copy_is_not_read_again_and_is_answered_the_same() -> None:
    pipeline, runtime = counting(10**6)
    items = feedback(*TEXTS, *TEXTS)
    plain = Pipeline.load("fake", memory_bytes=0).analyze(items, scores=True)
    assert pipeline.analyze(items, scores=True) == plain  # ids and all
    assert runtime.windows == 2
    assert pipeline.analyze(items, scores=True) == plain
    assert runtime.windows == 2
    assert pipeline.memory
    assert (pipeline.memory.counts.asked, pipeline.memory.counts.known) == (16, 12)


def test_without_memory_every_copy_is_read() -> None:
    pipeline, runtime = counting(0)
    pipeline.analyze(feedback(*TEXTS, *TEXTS))
    pipeline.analyze(feedback(*TEXTS))
    assert runtime.windows == 6
    assert pipeline.memory is None


def test_what_differs_in_a_single_mark_is_another_text() -> None:
    pipeline, runtime = counting(10**6)
    pipeline.analyze(feedback("La entrega llegó", "la entrega llegó", "La entrega llegó.", "La entrega llego"))
    assert runtime.windows == 4


def test_a_text_that_breaks_the_model_fails_alone_and_is_not_remembered() -> None:
    pipeline, runtime = counting(10**6)
    items = feedback(TEXTS[0], "la entrega " * 50, TEXTS[1], "la entrega " * 50)
    outcomes = pipeline.outcomes(items)
    assert [type(outcome) for outcome in outcomes] == [Analysis, ValueError, Analysis, ValueError]
    before = runtime.windows
    assert isinstance(pipeline.outcomes(items)[1], ValueError)
    assert runtime.windows > before


def test_the_bound_holds_and_the_least_asked_for_go_first() -> None:
    prepared = PreparedText("x" * 100, "no_text", None, [], [], [])  # type: ignore[arg-type]
    logits = TextLogits(np.zeros(50, np.float32), np.zeros((1, 50), np.float32))
    memory = Memory(20_000)
    for i in range(50):
        memory.put(str(i), prepared, logits)
        assert memory.get("0")  # asked for again and again
    kept = [i for i in range(50) if memory.get(str(i))]
    assert 5 < len(kept) < 20
    assert kept[0] == 0
    assert kept[1:] == list(range(kept[1], 50))
    memory.put("huge", replace(prepared, text="x" * 10**6), logits)
    assert memory.get("huge") is None
    assert memory.get("0")
