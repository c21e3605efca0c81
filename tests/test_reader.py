from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from nlp_service.core.schema import Feedback
from nlp_service.pipeline import Pipeline
from nlp_service.reader import Reader

TEXTS = ["La entrega me dio frustración.", "The price was a joy", "", "churn risk " * 40]


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader(Pipeline.load("fake"), batch_tokens=256, waiting_tokens=512)
    yield made
    made.close()


def test_answers_are_those_of_the_pipeline_however_many_ask(reader: Reader) -> None:
    """More than fits into the queue: who does not get in waits."""
    feedback = [Feedback(id=str(i), text=text) for i, text in enumerate(TEXTS)]
    expected = reader.pipeline.outcomes(feedback, scores=True)
    with ThreadPoolExecutor(16) as pool:
        for outcomes in pool.map(lambda _: reader.outcomes(feedback, scores=True), range(64)):
            assert outcomes == expected


def test_a_text_that_breaks_the_model_fails_alone(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    infer = reader.pipeline.runtime.infer

    def breaking(windows):
        if any(len(window.input_ids) > 60 for window in windows):
            raise ValueError
        return infer(windows)

    monkeypatch.setattr(reader.pipeline.runtime, "infer", breaking)
    outcomes = reader.outcomes([Feedback(text=text) for text in TEXTS])
    assert [isinstance(outcome, ValueError) for outcome in outcomes] == [False, False, False, True]
