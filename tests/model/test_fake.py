import numpy as np
import pytest

from nlp_service.core.schema import Feedback
from nlp_service.model.encoding import Encoder
from nlp_service.model.fake import FAKE, FakeModel
from nlp_service.pipeline import Pipeline


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.load(FAKE)


def test_a_text_has_the_labels_it_names(pipeline: Pipeline) -> None:
    [analysis] = pipeline.analyze([Feedback(text="Sentí mucha frustración con la entrega. Estuvo muy positivo el personal")])
    assert {e.label for e in analysis.emotions} == {"frustration"}
    assert {"delivery", "staff"} <= {t.label for t in analysis.touchpoints}
    assert analysis.sentiment is not None
    assert analysis.sentiment.label == "positive"
    assert [[e.label for e in s.emotions] for s in analysis.segments] == [["frustration"], []]


def test_a_text_that_names_none_is_neutral(pipeline: Pipeline) -> None:
    [analysis] = pipeline.analyze([Feedback(text="Nos vemos mañana por la tarde en la oficina")])
    assert analysis.emotions == analysis.touchpoints == analysis.signals == analysis.pairs == []
    assert analysis.sentiment is not None
    assert analysis.sentiment.label == "neutral"


def test_it_is_deterministic() -> None:
    text = "enfado con la entrega, worry about billing"
    one, two = FakeModel(), FakeModel()
    windows = Encoder(one.tokenizer, 64).encode(text, [(0, 21), (23, len(text))])
    for a, b in zip(one.infer(windows), two.infer(windows), strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.tokenizer.to_str() == two.tokenizer.to_str()


def test_every_label_can_be_said(pipeline: Pipeline) -> None:
    for head in ("emotions", "touchpoints", "signals"):
        for label in pipeline.taxonomy.labels(head):  # type: ignore[arg-type]
            [analysis] = pipeline.analyze([Feedback(text=f"esto va sobre {label.es} y nada más que contar por hoy")])
            assert label.id in {found.label for found in getattr(analysis, head)}, label.id
