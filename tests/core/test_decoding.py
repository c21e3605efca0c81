import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from nlp_service.core.decisions import Band, Bands, Calibration, PairFeatures, PairModel, Platt
from nlp_service.core.decoding import Decoder, ReadText, TextLogits
from nlp_service.core.schema import Analysis, ModelInfo
from nlp_service.core.taxonomy import MULTI_LABEL_HEADS, Taxonomy

TAXONOMY = Taxonomy.default()
LABELS = [label.id for head in MULTI_LABEL_HEADS for label in TAXONOMY.labels(head)]
INFO = ModelInfo(name="m", version="1", taxonomy=1)
ORIGINAL = "La entrega llegó tarde, pero el personal fue amable. 😀 No vuelvo."
SEGMENTS = [(0, 23), (24, 52), (53, 65)]
assert [ORIGINAL[a:b] for a, b in SEGMENTS] == ["La entrega llegó tarde,", "pero el personal fue amable.", "😀 No vuelvo."]


def decoder(
    platt: Platt | None = None, temperature: float = 1.0, bands: Bands | None = None, pairs: PairModel | None = None, **own: Bands
) -> Decoder:
    bands = bands or Bands(suggest=Band(threshold=0.5), auto=Band(threshold=0.9))
    calibration = Calibration(
        labels={"es": dict.fromkeys(LABELS, platt or Platt()), "en": dict.fromkeys(LABELS, Platt())},
        temperature={"es": temperature, "en": 1.0},
    )
    return Decoder(TAXONOMY, calibration, {**dict.fromkeys(LABELS, bands), **own}, pairs or PairModel(), INFO)


def row(**probabilities: float) -> np.ndarray:
    """Logits of one span: the probability given (uncalibrated), else 0.02; sentiment flat."""
    p = np.full(len(TAXONOMY.label_ids), 0.02)
    for label, value in probabilities.items():
        p[TAXONOMY.index[label]] = value
    logits = np.log(p / (1 - p)).astype(np.float32)
    logits[TAXONOMY.slices["sentiment"]] = 0
    return logits


def read(segments: int = 3, language: str = "es") -> ReadText:
    return ReadText(ORIGINAL, "ok", language, language, SEGMENTS[:segments], [language] * segments)  # type: ignore[arg-type]


def decode(d: Decoder, text: np.ndarray, *clauses: np.ndarray, **options: object) -> Analysis:
    return d.decode(read(len(clauses)), TextLogits(text, np.stack(clauses)), **options)  # type: ignore[arg-type]


def labels(scores: list) -> list[str]:
    return [score.label for score in scores]


def test_calibration_is_per_language_and_label() -> None:
    d = decoder(Platt(scale=2, bias=-1), temperature=0.5)
    logits = np.linspace(-3, 3, len(TAXONOMY.label_ids)).astype(np.float32)
    spanish, english = d.probabilities(logits, "es"), d.probabilities(logits, "en")
    i = TAXONOMY.index["price"]
    assert spanish[i] == pytest.approx(1 / (1 + math.exp(-(2 * logits[i] - 1))))
    assert english[i] == pytest.approx(1 / (1 + math.exp(-logits[i])))
    sentiment = TAXONOMY.slices["sentiment"]
    exponents = np.exp(logits[sentiment].astype(float) / 0.5)
    assert spanish[sentiment] == pytest.approx(exponents / exponents.sum())


@given(arrays(np.float32, (3, 40), elements=st.floats(-1e4, 1e4, width=32)))
def test_probabilities_are_probabilities_whatever_the_logits(logits: np.ndarray) -> None:
    p = decoder(Platt(scale=3, bias=0.5), temperature=0.3).probabilities(logits, "es")
    assert ((p >= 0) & (p <= 1)).all()
    assert p[:, TAXONOMY.slices["sentiment"]].sum(axis=1) == pytest.approx(1)


def test_labels_above_their_own_threshold_are_accepted() -> None:
    strict = Bands(suggest=Band(threshold=0.8))
    d = decoder(anger=strict)
    analysis = decode(d, row(anger=0.7, worry=0.7, price=0.49, staff=0.51), row())
    assert labels(analysis.emotions) == ["worry"]
    assert labels(analysis.touchpoints) == ["staff"]


def test_a_threshold_counts_on_the_calibrated_probability() -> None:
    assert labels(decode(decoder(Platt(bias=2)), row(price=0.2), row()).touchpoints) == ["price"]
    assert labels(decode(decoder(Platt(bias=-2)), row(price=0.8), row()).touchpoints) == []


def test_accepted_labels_are_sorted_most_probable_first() -> None:
    analysis = decode(decoder(), row(joy=0.6, trust=0.9, anger=0.7, price=0.6, delivery=0.8, urgency=0.6, churn=0.95), row())
    assert labels(analysis.emotions) == ["trust", "anger", "joy"]
    assert labels(analysis.touchpoints) == ["delivery", "price"]
    assert labels(analysis.signals) == ["churn", "urgency"]


def test_decision_bands() -> None:
    never = Bands(suggest=Band(threshold=0.5))
    analysis = decode(decoder(joy=never), row(trust=0.95, anger=0.85, joy=0.99, price=0.91, churn=0.93), row())
    assert {e.label: e.decision for e in analysis.emotions} == {"trust": "auto", "anger": "suggest", "joy": "suggest"}
    assert analysis.touchpoints[0].decision == "auto"
    assert analysis.signals[0].decision == "auto"


def test_clusters_and_stages_come_from_the_taxonomy() -> None:
    analysis = decode(decoder(), row(gratitude=0.8, billing=0.8), row(gratitude=0.8, billing=0.8))
    assert analysis.emotions[0].cluster == analysis.segments[0].emotions[0].cluster == "recommendation"
    assert analysis.touchpoints[0].stage == analysis.segments[0].touchpoints[0].stage == "service"


def test_segments_show_accepted_labels_where_they_are() -> None:
    text = row(anger=0.9, gratitude=0.8, delivery=0.9, staff=0.9)
    analysis = decode(decoder(), text, row(anger=0.9, delivery=0.95, worry=0.9), row(gratitude=0.8, staff=0.9), row(anger=0.8))
    assert [labels(s.emotions) for s in analysis.segments] == [["anger"], ["gratitude"], ["anger"]]
    assert [labels(s.touchpoints) for s in analysis.segments] == [["delivery"], ["staff"], []]
    assert analysis.segments[2].emotions[0].probability == pytest.approx(0.8, abs=1e-4)  # its own, not the text's
    assert [(s.start, s.end, s.text) for s in analysis.segments] == [(a, b, ORIGINAL[a:b]) for a, b in SEGMENTS]


def test_a_clause_far_behind_the_best_one_does_not_show_the_label() -> None:
    """0.6 is above the threshold, but 1.8 in log-odds behind 0.9, and the margin is 1."""
    analysis = decode(decoder(), row(anger=0.9), row(anger=0.9), row(anger=0.6), row(anger=0.8))
    assert [labels(s.emotions) for s in analysis.segments] == [["anger"], [], ["anger"]]


def test_a_label_that_no_clause_shows_is_shown_by_its_best_clause() -> None:
    analysis = decode(decoder(), row(anger=0.9), row(anger=0.1), row(anger=0.4), row(anger=0.3))
    assert [labels(s.emotions) for s in analysis.segments] == [[], ["anger"], []]


def test_emotions_pair_with_the_touchpoint_of_their_clause() -> None:
    text = row(anger=0.95, gratitude=0.95, delivery=0.95, staff=0.95)
    pairs = PairModel(bias=-1.5, emotion=0.1, touchpoint=0.1, joint=0, same=4, share=0, only=1, band=Band(threshold=0.5))
    analysis = decode(decoder(pairs=pairs), text, row(anger=0.9, delivery=0.9), row(gratitude=0.9, staff=0.9))
    assert {(p.touchpoint, p.emotion) for p in analysis.pairs} == {("delivery", "anger"), ("staff", "gratitude")}
    by_emotion = {p.emotion: p for p in analysis.pairs}
    assert [s.text for s in by_emotion["anger"].evidence] == ["La entrega llegó tarde,"]
    assert [s.text for s in by_emotion["gratitude"].evidence] == ["pero el personal fue amable."]


def test_an_emotion_without_a_touchpoint_is_general() -> None:
    [pair] = decode(decoder(), row(anger=0.9), row(anger=0.9)).pairs
    assert (pair.touchpoint, pair.emotion) == ("general", "anger")
    assert pair.probability == pytest.approx(0.9, abs=1e-4)


def test_an_emotion_about_no_touchpoint_of_the_text_is_general_and_less_sure() -> None:
    doubtful = PairModel(bias=-1, emotion=0, touchpoint=0, joint=0, same=0, share=0, only=0, band=Band(threshold=0.5))  # P(pair) = 0.269
    pairs = decode(decoder(pairs=doubtful), row(anger=0.9, price=0.9, staff=0.8), row()).pairs
    assert [(p.touchpoint, p.emotion) for p in pairs] == [("general", "anger")]
    assert pairs[0].probability == pytest.approx(0.9 * (1 - 1 / (1 + math.e)) ** 2, abs=1e-4)


def test_a_touchpoint_without_an_emotion_has_no_pair() -> None:
    assert decode(decoder(), row(price=0.9), row(price=0.9)).pairs == []


def test_evidence_is_at_most_three_clauses_in_reading_order() -> None:
    text = ReadText("a b c d e", "ok", "es", "es", [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)], ["es"] * 5)
    clauses = np.stack([row(anger=p) for p in (0.9, 0.94, 0.6, 0.95, 0.93)])
    [pair] = decoder().decode(text, TextLogits(row(anger=0.9), clauses)).pairs
    assert [s.text for s in pair.evidence] == ["b", "d", "e"]


def test_the_only_touchpoint_is_told_to_the_pair_model() -> None:
    d = decoder(pairs=PairModel(bias=-3, emotion=0, touchpoint=0, joint=0, same=0, share=0, only=6))
    assert [p.touchpoint for p in decode(d, row(anger=0.9, price=0.9), row()).pairs] == ["price"]
    assert [p.touchpoint for p in decode(d, row(anger=0.9, price=0.9, staff=0.9), row()).pairs] == ["general"]


def test_pair_features() -> None:
    d = decoder()
    p = d.probabilities(row(anger=0.9, price=0.8), "es")
    apart = d.probabilities(np.stack([row(anger=0.8, price=0.2), row(anger=0.4, price=0.6)]), "es")
    features = d.pair_features(p, apart, "anger", "price", ["price"])
    assert features.emotion == pytest.approx(math.log(9), rel=1e-4)
    assert features.touchpoint == pytest.approx(math.log(4), rel=1e-4)
    assert features.joint == pytest.approx(math.log(0.24 / 0.76), rel=1e-3)  # the second clause: 0.4 * 0.6
    assert features.same == pytest.approx(0.24 / (0.8 * 0.6), rel=1e-3)
    assert (features.share, features.only) == (pytest.approx(1), 1)
    same = d.probabilities(np.stack([row(anger=0.8, price=0.6, staff=0.2), row(anger=0.4, price=0.2)]), "es")
    features = d.pair_features(p, same, "anger", "price", ["price", "staff"])
    assert features.same == pytest.approx(1)
    assert features.share == pytest.approx(0.6 / 0.8, rel=1e-3)
    assert features.only == 0


def test_pair_features_stay_finite() -> None:
    d = decoder()
    for value in (0.0, 1.0):
        clauses = np.full((2, len(TAXONOMY.label_ids)), value)
        features = d.pair_features(clauses[0], clauses, "anger", "price", ["price", "staff"])
        assert all(math.isfinite(x) for x in features.model_dump().values())


def test_pair_probability_is_logistic() -> None:
    model = PairModel(bias=0.5, emotion=1, touchpoint=2, joint=0.3, same=3, share=-2, only=4)
    z = 0.5 + 1 * 0.1 + 2 * -0.2 + 0.3 * -1 + 3 * 0.3 - 2 * 0.25 + 4
    features = PairFeatures(emotion=0.1, touchpoint=-0.2, joint=-1, same=0.3, share=0.25, only=1)
    assert model.probability(features) == pytest.approx(1 / (1 + math.exp(-z)))


def test_sentiment() -> None:
    logits = row()
    logits[TAXONOMY.slices["sentiment"]] = np.log([0.5, 0.1, 0.1, 0.3])
    sentiment = decode(decoder(), logits, row()).sentiment
    assert sentiment is not None
    assert sentiment.label == "negative"
    assert sentiment.score == pytest.approx(-0.4)
    assert sentiment.probabilities == {"negative": 0.5, "neutral": 0.1, "positive": 0.1, "mixed": 0.3}


def test_scores_hold_every_label() -> None:
    scores = decode(decoder(), row(anger=0.3), row(), scores=True).scores
    assert scores is not None
    assert {label for head in scores.values() for label in head} == set(TAXONOMY.label_ids)
    assert scores["emotions"]["anger"] == pytest.approx(0.3, abs=1e-4)
    assert sum(scores["sentiment"].values()) == pytest.approx(1, abs=1e-3)
    assert decode(decoder(), row(), row()).scores is None


@pytest.mark.parametrize(("status", "language"), [("language_unsupported", "other"), ("no_text", "unknown")])
def test_what_cannot_be_read_has_no_labels(status: str, language: str) -> None:
    text = ReadText("日本", status, language, "es", [], [])  # type: ignore[arg-type]
    analysis = decoder().decode(text, None, id="7", scores=True)
    assert (analysis.id, analysis.status, analysis.language, analysis.sentiment) == ("7", status, language, None)
    assert analysis.emotions == analysis.touchpoints == analysis.signals == analysis.segments == analysis.pairs == []
    assert analysis.scores is None


LOGIT = st.floats(-8, 8, width=32)


@given(st.integers(1, 3).flatmap(lambda n: arrays(np.float32, (n + 1, 40), elements=LOGIT)), st.floats(0, 1), st.floats(0, 1))
def test_what_holds_for_every_answer(logits: np.ndarray, suggest: float, auto: float) -> None:
    d = decoder(Platt(scale=1.3, bias=-0.4), 1.5, Bands(suggest=Band(threshold=suggest), auto=Band(threshold=max(suggest, auto))))
    analysis = decode(d, logits[0], *logits[1:])
    emotions, touchpoints = set(labels(analysis.emotions)), set(labels(analysis.touchpoints))
    assert {p.emotion for p in analysis.pairs} == emotions
    assert {p.touchpoint for p in analysis.pairs} <= touchpoints | {"general"}
    assert len({(p.touchpoint, p.emotion) for p in analysis.pairs}) == len(analysis.pairs)
    assert {e for s in analysis.segments for e in labels(s.emotions)} == emotions
    assert {t for s in analysis.segments for t in labels(s.touchpoints)} == touchpoints
    for scored in (analysis.emotions, analysis.touchpoints, analysis.signals, analysis.pairs):
        assert [x.probability for x in scored] == sorted((x.probability for x in scored), reverse=True)
    spans = [*analysis.segments, *(span for pair in analysis.pairs for span in pair.evidence)]
    assert all(span.text == ORIGINAL[span.start : span.end] and span.text for span in spans)
    assert all(1 <= len(pair.evidence) <= 3 for pair in analysis.pairs)
    assert analysis.sentiment is not None
    assert sum(analysis.sentiment.probabilities.values()) == pytest.approx(1, abs=2e-4)
    for emotion in emotions:
        assert sum(p.touchpoint == "general" for p in analysis.pairs if p.emotion == emotion) in (0, 1)


@pytest.mark.parametrize(
    "wrong", [{"threshold": 1.5}, {"threshold": -0.1}, {}, {"threshold": 0.5, "colour": 1}, {"threshold": 0.5, "support": -1}]
)
def test_a_band_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        Band(**wrong)


def test_a_scale_that_would_turn_the_order_round_is_refused() -> None:
    with pytest.raises(ValidationError):
        Platt(scale=-1)
