"""Evaluation through the pipeline: what the service would answer, against what people labelled."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nlp_service.core.schema import Analysis, Feedback
from nlp_service.core.taxonomy import HEADS, MULTI_LABEL_HEADS, Head, Taxonomy
from nlp_service.pipeline import Pipeline
from training.records import Record


@dataclass
class Counts:
    """True positives, false positives and false negatives of one label."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def add(self, predicted: bool, true: bool) -> None:
        """Counts one decision."""
        self.tp += predicted and true
        self.fp += predicted and not true
        self.fn += true and not predicted

    @property
    def f1(self) -> float:
        """0 where there is neither a decision nor a true label."""
        return 2 * self.tp / total if (total := 2 * self.tp + self.fp + self.fn) else 0.0

    def report(self) -> dict[str, float]:
        """Precision, recall, F1 and support."""
        return {
            "precision": round(self.tp / max(1, self.tp + self.fp), 4),
            "recall": round(self.tp / max(1, self.tp + self.fn), 4),
            "f1": round(self.f1, 4),
            "support": self.tp + self.fn,
        }


@dataclass
class Group:
    """Running counts over the records of one language, source or both."""

    labels: dict[str, Counts]
    pairs: Counts = field(default_factory=Counts)
    sentiment: list[bool] = field(default_factory=list)
    bins: dict[Head, list[tuple[float, bool]]] = field(default_factory=lambda: {head: [] for head in HEADS})
    records: int = 0
    unanswered: int = 0

    def add(self, record: Record, analysis: Analysis, taxonomy: Taxonomy) -> None:
        """Counts one record; what it does not know is left out. A text without an answer counts as one with no label."""
        self.records += 1
        self.unanswered += analysis.status != "ok"
        predicted = {score.label for score in (*analysis.emotions, *analysis.touchpoints, *analysis.signals)}
        scores = analysis.scores or {}
        for head in MULTI_LABEL_HEADS:
            for label in taxonomy.labels(head):
                if label.id in record.known:
                    self.labels[label.id].add(label.id in predicted, label.id in record.positives)
                    if head in scores:
                        self.bins[head].append((scores[head][label.id], label.id in record.positives))
        true = [label.id for label in taxonomy.sentiment if label.id in record.positives]
        if true:
            self.sentiment.append(bool(analysis.sentiment) and analysis.sentiment.label == true[0])  # type: ignore[union-attr]
            if analysis.sentiment:
                best = max(analysis.sentiment.probabilities.values())
                self.bins["sentiment"].append((best, self.sentiment[-1]))
        if record.pairs is not None:
            found = {(pair.touchpoint, pair.emotion) for pair in analysis.pairs}
            for pair in found | record.pairs:
                self.pairs.add(pair in found, pair in record.pairs)

    def report(self, taxonomy: Taxonomy) -> dict[str, Any]:
        """Figures of the group. Macro F1 is the mean over the labels that occur in it; `ece` the expected calibration error."""
        out: dict[str, Any] = {"records": self.records, "unanswered": self.unanswered}
        for head in MULTI_LABEL_HEADS:
            each = {label.id: self.labels[label.id] for label in taxonomy.labels(head)}
            present = [counts.f1 for counts in each.values() if counts.tp + counts.fn]
            micro = Counts(*(sum(getattr(c, k) for c in each.values()) for k in ("tp", "fp", "fn")))
            out[head] = {
                "macro_f1": round(float(np.mean(present)), 4) if present else None,
                "micro_f1": round(micro.f1, 4),
                "ece": expected_calibration_error(self.bins[head]),
                "labels": {name: counts.report() for name, counts in each.items() if counts.tp + counts.fp + counts.fn},
            }
        accuracy = round(float(np.mean(self.sentiment)), 4) if self.sentiment else None
        out["sentiment"] = {"accuracy": accuracy, "ece": expected_calibration_error(self.bins["sentiment"])}
        out["pairs"] = self.pairs.report()
        return out


def evaluate(pipeline: Pipeline, records: Sequence[Record], chunk: int = 512) -> dict[str, Any]:
    """Figures over all records, for each language and for each source, through `Pipeline.analyze`."""
    taxonomy = pipeline.taxonomy
    groups: dict[str, Group] = {}
    for start in range(0, len(records), chunk):
        part = records[start : start + chunk]
        for record, analysis in zip(part, pipeline.analyze([Feedback(id=r.id, text=r.text) for r in part], scores=True), strict=True):
            for name in ("all", record.lang, record.source, f"{record.source}/{record.lang}"):
                if name not in groups:
                    groups[name] = Group({label: Counts() for label in taxonomy.label_ids})
                groups[name].add(record, analysis, taxonomy)
    return {name: group.report(taxonomy) for name, group in sorted(groups.items())}


def expected_calibration_error(predictions: Iterable[tuple[float, bool]], bins: int = 15) -> float | None:
    """Mean gap of confidence and frequency over equal-width bins, weighted by size (Naeini et al. 2015)."""
    pairs = np.array([(p, float(t)) for p, t in predictions])
    if not len(pairs):
        return None
    which = np.minimum((pairs[:, 0] * bins).astype(int), bins - 1)
    gaps = [abs(pairs[which == b].mean(axis=0) @ (1, -1)) * (which == b).sum() for b in range(bins) if (which == b).any()]
    return round(float(sum(gaps) / len(pairs)), 4)


_COLUMNS = {
    "emotions macro F1": ("emotions", "macro_f1"),
    "emotions micro F1": ("emotions", "micro_f1"),
    "touchpoints macro F1": ("touchpoints", "macro_f1"),
    "touchpoints micro F1": ("touchpoints", "micro_f1"),
    "signals macro F1": ("signals", "macro_f1"),
    "sentiment accuracy": ("sentiment", "accuracy"),
    "pairs F1": ("pairs", "f1"),
}


def table(report: dict[str, Any]) -> str:
    """The groups as a Markdown table."""
    lines = ["| texts | records | " + " | ".join(_COLUMNS) + " |", "|---" * (2 + len(_COLUMNS)) + "|"]
    for name, group in report.items():
        figures = [group[head][key] for head, key in _COLUMNS.values()]
        lines.append(f"| {name} | {group['records']} | " + " | ".join("-" if x is None else f"{x:.3f}" for x in figures) + " |")
    return "\n".join(lines)


def label_table(report: dict[str, Any], head: Head, languages: Sequence[str]) -> str:
    """F1 and support of each label of a head, per language, as a Markdown table."""
    names = sorted({name for language in languages for name in report.get(language, {}).get(head, {}).get("labels", {})})
    lines = ["| label | " + " | ".join(f"{x} F1 | {x} texts" for x in languages) + " |", "|---" * (1 + 2 * len(languages)) + "|"]
    for name in names:
        cells = []
        for language in languages:
            figures = report.get(language, {}).get(head, {}).get("labels", {}).get(name)
            cells += [f"{figures['f1']:.2f}", str(figures["support"])] if figures else ["-", "0"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
