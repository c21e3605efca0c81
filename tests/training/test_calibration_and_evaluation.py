"""Calibration, thresholds, figures and cards, through the real pipeline with the weightless model."""

import numpy as np
import pytest

from nlp_service.core.taxonomy import Taxonomy
from nlp_service.pipeline import Pipeline
from training.calibrate import AUTO_PRECISION, best_f1_threshold, fit
from training.compare import Measured, compare, comparison_table
from training.evaluate import Counts, evaluate, expected_calibration_error, label_table, table
from training.logistic import fit_logistic
from training.records import Record

TAXONOMY = Taxonomy.default()


def record(number: int, text: str, labels: str, pairs: set[tuple[str, str]] | None = None, lang: str = "en") -> Record:
    positives = frozenset(labels.split())
    return Record(
        id=str(number), text=text, lang=lang, source="test", split="dev", positives=positives, known=frozenset(TAXONOMY.label_ids),
        pairs=None if pairs is None else frozenset(pairs),
    )  # fmt: skip


def test_logistic_finds_the_weights_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    features = np.stack([rng.normal(size=20_000), np.ones(20_000)], axis=1)
    truth = rng.random(20_000) < 1 / (1 + np.exp(-(features @ (2.0, -1.0))))
    assert fit_logistic(features, truth, np.zeros(2), 1e-3) == pytest.approx([2.0, -1.0], abs=0.1)


def test_logistic_stays_at_its_prior_without_data_and_finite_on_separable_data() -> None:
    assert fit_logistic(np.empty((0, 2)), np.empty(0, bool), np.array([1.5, -0.5]), 1.0) == pytest.approx([1.5, -0.5])
    features = np.array([[1.0, 1.0], [-1.0, 1.0]])
    assert np.abs(fit_logistic(features, np.array([True, False]), np.zeros(2), 0.1)).max() < 20


def test_best_f1_threshold_lies_between_the_last_hit_and_the_first_miss() -> None:
    p = np.array([0.9, 0.8, 0.4, 0.2])
    assert best_f1_threshold(p, np.array([True, True, False, False])) == pytest.approx(0.6)


def test_expected_calibration_error_by_hand() -> None:
    # two bins: confidence 0.95 right half the time (gap 0.45), confidence 0.05 never right (gap 0.05)
    p, truth = np.array([0.95, 0.95, 0.05, 0.05]), np.array([True, False, False, False])
    assert expected_calibration_error(p, truth) == pytest.approx(0.25)
    assert expected_calibration_error(np.array([]), np.array([], bool)) is None


def test_counts_by_hand() -> None:
    counts = Counts(tp=3, fp=1, fn=2)
    assert counts.report() == {"precision": 0.75, "recall": 0.6, "f1": round(6 / 9, 4), "support": 5}
    assert Counts().f1 == 0.0


def test_fit_learns_that_a_label_is_reliable_and_another_is_not() -> None:
    # The weightless model finds `anger` by its name. Here it is always right about anger and a coin toss about relief.
    records = [record(i, "The anger here is negative.", "anger negative", {("general", "anger")}) for i in range(40)]
    records += [record(100 + i, "Such relief, said somebody.", "relief neutral" if i % 2 else "neutral", set()) for i in range(40)]
    records += [record(200 + i, "We went to the lake on Monday.", "neutral", set()) for i in range(40)]
    fitted = fit(Pipeline.load("fake"), records)
    assert set(fitted.calibration.labels) == {"es", "en"}
    anger, relief = fitted.thresholds["anger"], fitted.thresholds["relief"]
    assert anger.auto is not None
    assert anger.auto.precision is not None
    assert anger.auto.precision >= AUTO_PRECISION
    assert anger.suggest.support == 40
    assert relief.auto is None
    assert relief.suggest.precision == pytest.approx(0.5)


def test_evaluate_by_hand() -> None:
    records = [
        record(1, "Only anger about the delivery, so negative.", "anger delivery negative", {("delivery", "anger")}),
        record(2, "Only relief, positive.", "joy positive", {("general", "joy")}),
        record(3, "Nada que decir de la entrega.", "delivery neutral", set(), lang="es"),
    ]
    report = evaluate(Pipeline.load("fake"), records, resamples=0)
    assert set(report) == {"all", "en", "es", "test", "test/en", "test/es"}
    emotions = report["all"]["emotions"]["labels"]
    assert emotions["anger"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}
    assert emotions["joy"]["f1"] == 0.0
    assert emotions["relief"]["support"] == 0
    assert report["all"]["emotions"]["macro_f1"] == 0.5  # anger 1, joy 0; relief does not occur
    assert report["all"]["emotions"]["micro_f1"] == 0.5
    assert report["all"]["touchpoints"]["macro_f1"] == 1.0
    assert report["all"]["sentiment"]["accuracy"] == 1.0
    assert report["all"]["pairs"]["recall"] == 0.5
    assert report["es"]["records"] == 1
    assert "| all | 3 | 0.500 |" in table(report)
    assert "| anger | 1.00 | 1 | - | 0 |" in label_table(report, "emotions", ["en", "es"])


def test_a_text_without_an_answer_counts_as_one_without_labels() -> None:
    report = evaluate(Pipeline.load("fake"), [record(1, "…", "anger negative", {("general", "anger")})])
    assert report["all"]["unanswered"] == 1
    assert report["all"]["emotions"]["labels"]["anger"]["recall"] == 0.0
    assert report["all"]["sentiment"]["accuracy"] == 0.0


def test_bundles_side_by_side() -> None:
    pipeline = Pipeline.load("fake")
    measured = compare([pipeline, pipeline], [record(1, "Only anger, so negative.", "anger negative", {("general", "anger")})], rounds=1)
    assert measured[0].figures == measured[1].figures
    assert measured[0].figures["emotions macro F1"] == 1.0
    assert measured[0].seconds > 0
    rows = comparison_table([Measured("a", {"F1": 0.8}, 2.0), Measured("b", {"F1": 0.6}, 1.0)]).splitlines()
    assert rows[2:] == ["| a | 0.800 | 2.00 |", "| b | 0.600 | 1.00 |", "| share of the first | 75.0% | 50.0% |"]
