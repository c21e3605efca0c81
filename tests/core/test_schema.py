import json

import pytest
from pydantic import ValidationError

from nlp_service.core.schema import Analysis, Feedback, LabelScore, ModelInfo, SentimentScore
from nlp_service.pipeline import Pipeline

# The shape that every surface promises, with the two fields it gained: `status`, and `language` of a segment.
PROMISED = json.loads("""
{"id": "t-1", "language": "es",
 "sentiment": {"label": "mixed", "score": -0.3, "probabilities": {"negative": 0.5, "neutral": 0.0, "positive": 0.1, "mixed": 0.4}},
 "emotions": [{"label": "frustration", "probability": 0.93, "cluster": "destroying", "decision": "auto"}],
 "touchpoints": [{"label": "delivery", "probability": 0.97, "stage": "delivery", "decision": "auto"}],
 "signals": [{"label": "churn", "probability": 0.71, "decision": "suggest"}],
 "segments": [{"start": 0, "end": 41, "text": "…", "emotions": [], "touchpoints": []}],
 "pairs": [{"touchpoint": "delivery", "emotion": "frustration", "probability": 0.9, "evidence": [{"start": 0, "end": 41, "text": "…"}]}],
 "model": {"name": "cx-es-en", "version": "…", "taxonomy": 1}}
""")


@pytest.fixture(scope="module")
def answer() -> dict:
    pipeline = Pipeline.load("fake")
    text = "Siento frustración con la entrega, pero hay riesgo y lo negativo pesa."
    [analysis] = pipeline.analyze([Feedback(id="t-1", text=text)])
    return json.loads(analysis.model_dump_json())


def test_the_answer_has_the_promised_shape(answer: dict) -> None:
    assert set(answer) == set(PROMISED) | {"status"}
    for key in ("sentiment", "model"):
        assert set(answer[key]) == set(PROMISED[key])
    assert set(answer["sentiment"]["probabilities"]) == set(PROMISED["sentiment"]["probabilities"])
    for key in ("emotions", "touchpoints", "signals", "pairs"):
        assert answer[key], key
        assert all(set(item) == set(PROMISED[key][0]) for item in answer[key])
    assert all(set(item) == set(PROMISED["segments"][0]) | {"language"} for item in answer["segments"])
    assert all(set(span) == {"start", "end", "text"} for pair in answer["pairs"] for span in pair["evidence"])


def test_the_answer_has_the_promised_types(answer: dict) -> None:
    def same(promised: object, found: object) -> None:
        if isinstance(promised, dict):
            for key, value in promised.items():
                same(value, found[key])  # type: ignore[index]
        elif isinstance(promised, list):
            for item in found if promised else []:  # type: ignore[union-attr]
                same(promised[0], item)
        else:
            assert type(found) is type(promised)

    same(PROMISED, answer)


def test_an_answer_survives_json(answer: dict) -> None:
    assert json.loads(Analysis.model_validate(answer).model_dump_json()) == answer


def test_scores_are_there_only_when_asked_for() -> None:
    pipeline = Pipeline.load("fake")
    asked = json.loads(pipeline.analyze([Feedback(text="buena entrega y nada de enfado")], scores=True)[0].model_dump_json())
    assert {head: len(labels) for head, labels in asked["scores"].items()} == {
        "emotions": 15, "touchpoints": 16, "sentiment": 4, "signals": 5,
    }  # fmt: skip
    plain = json.loads(pipeline.analyze([Feedback(text="buena entrega y nada de enfado")])[0].model_dump_json())
    assert "scores" not in plain
    assert plain["id"] is None  # an id that was not given is null, not missing


@pytest.mark.parametrize("probability", [-0.01, 1.01, float("nan")])
def test_a_probability_is_between_0_and_1(probability: float) -> None:
    with pytest.raises(ValidationError):
        LabelScore(label="x", probability=probability, decision="auto")


def test_words_outside_the_schema_are_refused() -> None:
    with pytest.raises(ValidationError):
        LabelScore(label="x", probability=0.5, decision="maybe")  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        SentimentScore(label="negative", score=-1.5, probabilities={})
    with pytest.raises(ValidationError):
        Analysis(language="fr", sentiment=None, model=ModelInfo(name="m", version="1", taxonomy=1))  # type: ignore[arg-type]


def test_feedback_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Feedback(text="a").text = "b"  # type: ignore[misc]
