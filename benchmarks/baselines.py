"""What cheap models get right, and whether one of them could answer in front of ours: only where it is sure of every head."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.processes import Engine, Worker
from nlp_service.core.taxonomy import MULTI_LABEL_HEADS, Taxonomy
from nlp_service.pipeline import Pipeline
from training.evaluate import figures
from training.outcomes import Outcomes, collect
from training.records import find, read_records

Bools = NDArray[np.bool_]

LOSS = 0.002
"""What the cascade may cost a head: 0.2 points of macro F1, or of accuracy."""
_THRESHOLDS = np.linspace(0.02, 0.98, 49)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Macro F1 of each head of several labels, and accuracy of sentiment; None where an engine has no such head."""

    engine: str
    language: str
    texts: int
    emotions: float | None
    touchpoints: float | None
    signals: float | None
    sentiment: float | None


@dataclass(frozen=True, slots=True)
class Cascade:
    """The largest share of the texts that the cheap model may answer before a head loses more than LOSS."""

    language: str
    texts: int
    answered: float


def compare(model: Path, data: Path, work: Path, environments: Path) -> tuple[list[Accuracy], list[Cascade]]:
    """Our bundle, fastText trained on our records, and VADER; thresholds are fitted on `calibration`, the figures are of `dev`."""
    pipeline = Pipeline.load(model)
    taxonomy = pipeline.taxonomy
    records = [
        record
        for path in find(data, ["authored/*.jsonl", "original/*.jsonl"])
        for record in read_records(path, taxonomy, "ours")
        if record.split != "train"
    ]
    dev = np.array([record.split == "dev" for record in records])
    full = collect(pipeline, records)
    texts = work / "records.jsonl"
    texts.parent.mkdir(parents=True, exist_ok=True)
    texts.write_text("".join(json.dumps(record.text, ensure_ascii=False) + "\n" for record in records), "utf-8")
    cheap = {}
    for name, script in (("fastText", "fasttext_labels"), ("VADER", "vader")):
        with Worker(Engine(name, script, work, (str(data / "original"),), "baselines"), environments) as worker:
            cheap[name] = of_cheap_model(worker.answers(texts, len(records)), full, ~dev, taxonomy)
    table = [
        *accuracies(pipeline.info.name, full, dev, taxonomy),
        *accuracies("fastText", cheap["fastText"], dev, taxonomy),
        *(row for row in accuracies("VADER", cheap["VADER"], dev, taxonomy, ["sentiment"]) if row.language == "en"),
    ]
    languages = {name: dev & np.array([record.lang == name for record in records]) for name in taxonomy.languages}
    return table, [cascade(name, full, cheap["fastText"], rows, taxonomy) for name, rows in languages.items()]


def of_cheap_model(answers: Sequence[Mapping[str, float]], full: Outcomes, tuning: Bools, taxonomy: Taxonomy) -> Outcomes:
    """Outcomes of a model that gives each label's probability, on the texts of `full`; the threshold of each label is the one with the
    best F1 on the texts of `tuning`.
    """
    probability = np.array([[answer.get(label, 0.0) for label in taxonomy.label_ids] for answer in answers])
    predicted = np.zeros_like(full.predicted)
    for head in MULTI_LABEL_HEADS:
        for label in taxonomy.labels(head):
            i = taxonomy.index[label.id]
            p, true = probability[tuning, i], full.true[tuning, i]
            predicted[:, i] = probability[:, i] > max(_THRESHOLDS, key=lambda t, p=p, true=true: _f1(p > t, true))
    sentiment = np.arange(predicted.shape[1])[taxonomy.slices["sentiment"]]
    predicted[np.arange(len(predicted)), sentiment[probability[:, sentiment].argmax(axis=1)]] = True
    return replace(full, predicted=predicted, automatic=np.zeros_like(predicted), probability=probability)


def accuracies(engine: str, outcomes: Outcomes, rows: Bools, taxonomy: Taxonomy, heads: Sequence[str] = ()) -> list[Accuracy]:
    """Figures of all texts of `rows` and of each language; only of `heads`, if any are named."""
    report = figures(_only(outcomes, rows), taxonomy, resamples=0)
    return [
        Accuracy(engine, name, report[name]["records"], **{
            head: value if not heads or head in heads else None for head, value in _main(report[name]).items()
        })
        for name in ("all", *taxonomy.languages) if name in report
    ]  # fmt: skip


def cascade(language: str, full: Outcomes, cheap: Outcomes, rows: Bools, taxonomy: Taxonomy) -> Cascade:
    """Lets the cheap model answer the texts of `rows` that it is surest of, more and more of them.

    It is as sure of a text as of the label that it is least sure of.
    """
    sure = np.abs(cheap.probability - 0.5).min(axis=1)
    wanted = _main(figures(_only(full, rows), taxonomy, resamples=0)["all"])
    answered = 0.0
    for least in np.sort(sure[rows])[::-1][:: max(1, rows.sum() // 100)]:
        taken = sure >= least
        mixed = replace(full, predicted=np.where(taken[:, None], cheap.predicted, full.predicted))
        got = _main(figures(_only(mixed, rows), taxonomy, resamples=0)["all"])
        if any(got[head] < wanted[head] - LOSS for head in wanted):
            break
        answered = float(taken[rows].mean())
    return Cascade(language, int(rows.sum()), answered)


def _main(report: Mapping[str, Any]) -> dict[str, float]:
    return {**{head: report[head]["macro_f1"] for head in MULTI_LABEL_HEADS}, "sentiment": report["sentiment"]["accuracy"]}


def _only(outcomes: Outcomes, rows: Bools) -> Outcomes:
    arrays = {
        name: getattr(outcomes, name)[rows] for name in ("predicted", "automatic", "true", "known", "probability", "pairs", "evidence")
    }
    return replace(outcomes, records=[record for record, row in zip(outcomes.records, rows, strict=True) if row], **arrays)


def _f1(given: Bools, true: Bools) -> float:
    total = given.sum() + true.sum()
    return float(2 * (given & true).sum() / total) if total else 0.0
