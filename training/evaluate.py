"""Figures of a bundle on labelled texts, through the pipeline that serves: per head, label, language and source, with intervals."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_service.core.taxonomy import HEADS, MULTI_LABEL_HEADS, Head, Taxonomy
from nlp_service.pipeline import Pipeline
from training.outcomes import Outcomes, collect
from training.records import Record

Floats = NDArray[np.float64]

RESAMPLES = 1000
"""Bootstrap resamples of the texts for every interval (percentiles 2.5 and 97.5, Efron & Tibshirani 1993)."""

NOTHING = "(nothing)"
"""Stands in a confusion for a label that was missed, or given, without another in its place."""


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


def evaluate(pipeline: Pipeline, records: Sequence[Record], resamples: int = RESAMPLES) -> dict[str, Any]:
    """Figures over all records, for each language, each source, and each language of a source."""
    outcomes = collect(pipeline, records)
    return figures(outcomes, pipeline.taxonomy, resamples)


def figures(outcomes: Outcomes, taxonomy: Taxonomy, resamples: int = RESAMPLES) -> dict[str, Any]:
    """The report of `evaluate`; one entry a group, in the order of the groups' names."""
    return {name: _figures(outcomes, mask, taxonomy, resamples) for name, mask in outcomes.groups().items()}


def _figures(outcomes: Outcomes, mask: NDArray[np.bool_], taxonomy: Taxonomy, resamples: int) -> dict[str, Any]:
    rows = np.flatnonzero(mask)
    known, true, predicted = outcomes.known[rows], outcomes.true[rows], outcomes.predicted[rows] & outcomes.known[rows]
    # Row 0 counts every text once; the others are resamples of the texts.
    draws = np.random.default_rng(0).multinomial(len(rows), np.full(len(rows), 1 / len(rows)), resamples)
    weights = np.vstack([np.ones(len(rows)), draws]).astype(np.float64)
    tp, fp, fn = (weights @ x for x in (predicted & true, predicted & ~true & known, true & ~predicted))
    out: dict[str, Any] = {"records": len(rows), "unanswered": int(np.isnan(outcomes.probability[rows, 0]).sum())}
    for head in MULTI_LABEL_HEADS:
        s = taxonomy.slices[head]
        out[head] = _head_figures(tp[:, s], fp[:, s], fn[:, s], [label.id for label in taxonomy.labels(head)])
        automatic = outcomes.automatic[rows, s] & known[:, s]
        right, given, wanted = (int(x.sum()) for x in (automatic & true[:, s], automatic, true[:, s]))
        out[head]["auto"] = {"precision": _share(right, given), "coverage": _share(right, wanted), "decisions": given}
        answered = known[:, s] & ~np.isnan(outcomes.probability[rows, s])
        out[head]["ece"] = expected_calibration_error(outcomes.probability[rows, s][answered], true[:, s][answered])
    s = taxonomy.slices["sentiment"]
    out["sentiment"] = _sentiment_figures(outcomes.probability[rows, s], predicted[:, s], true[:, s], weights)
    out["pairs"] = {
        **Counts(*(int(x) for x in outcomes.pairs[rows].sum(0))).report(),
        **_interval("f1", _f1(*(weights @ outcomes.pairs[rows]).T)),
    }
    shown, hit, labelled, touched = (int(x) for x in outcomes.evidence[rows].sum(0))
    out["evidence"] = {"precision": _share(hit, shown), "recall": _share(touched, labelled), "spans": shown}
    return out


def _head_figures(tp: Floats, fp: Floats, fn: Floats, labels: Sequence[str]) -> dict[str, Any]:
    """`tp`, `fp`, `fn` [1 + resamples, labels of the head]. Macro F1 is the mean over the labels that occur."""
    f1 = _f1(tp, fp, fn)
    present = tp + fn > 0
    macro = np.where(present, f1, 0).sum(1) / np.where(present.any(1), present.sum(1), np.nan)
    micro = _f1(tp.sum(1), fp.sum(1), fn.sum(1))
    return {
        "macro_f1": _rounded(macro[0]), **_interval("macro_f1", macro),
        "micro_f1": _rounded(micro[0]), **_interval("micro_f1", micro),
        "labels": {
            name: {**Counts(int(tp[0, i]), int(fp[0, i]), int(fn[0, i])).report(), **_interval("f1", f1[:, i])}
            for i, name in enumerate(labels)
            if tp[0, i] + fp[0, i] + fn[0, i]
        },
    }  # fmt: skip


def _sentiment_figures(p: Floats, predicted: NDArray[np.bool_], true: NDArray[np.bool_], weights: Floats) -> dict[str, Any]:
    told = true.any(axis=1)
    right = np.asarray((predicted & true).any(axis=1))
    with np.errstate(invalid="ignore"):
        accuracy: Floats = (weights @ right) / (weights @ told)
    sure = told & ~np.isnan(p[:, 0])
    ece = expected_calibration_error(p[sure].max(axis=1), right[sure])
    return {"accuracy": _rounded(accuracy[0]), **_interval("accuracy", accuracy), "ece": ece}


def _f1(tp: Floats, fp: Floats, fn: Floats) -> Floats:
    return np.asarray(2 * tp / np.maximum(2 * tp + fp + fn, 1e-9))


def _interval(name: str, values: Floats) -> dict[str, list[float]]:
    """95 % of the resamples (all rows but the first) lie in it; nothing where there were no resamples."""
    drawn = values[1:][~np.isnan(values[1:])]
    return {f"{name}_interval": [round(float(x), 4) for x in np.percentile(drawn, (2.5, 97.5))]} if len(drawn) else {}


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def expected_calibration_error(probabilities: Floats, truth: NDArray[np.bool_], bins: int = 15) -> float | None:
    """Mean gap of confidence and frequency over equal-width bins, weighted by size (Naeini et al. 2015); None without a value."""
    points = reliability(probabilities, truth, bins)
    return round(sum(n * abs(p - f) for p, f, n in points) / len(probabilities), 4) if points else None


def reliability(probabilities: Floats, truth: NDArray[np.bool_], bins: int = 15) -> list[tuple[float, float, int]]:
    """(mean probability, frequency, count) of each bin that holds a value: the points of a reliability diagram."""
    which = np.minimum((probabilities * bins).astype(int), bins - 1)
    held = [which == b for b in range(bins) if (which == b).any()]
    return [(float(probabilities[h].mean()), float(truth[h].mean()), int(h.sum())) for h in held]


def confusions(outcomes: Outcomes, taxonomy: Taxonomy, head: Head, top: int = 25) -> list[dict[str, Any]]:
    """The commonest (missed label, label given in its place) of a head, with ids of texts to read. Unknown labels are left out."""
    found: dict[tuple[str, str], list[str]] = {}
    names = [label.id for label in taxonomy.labels(head)]
    s = taxonomy.slices[head]
    for i, record in enumerate(outcomes.records):
        known, true, predicted = outcomes.known[i, s], outcomes.true[i, s], outcomes.predicted[i, s]
        missed = [names[k] for k in np.flatnonzero(true & ~predicted & known)]
        given = [names[k] for k in np.flatnonzero(predicted & ~true & known)]
        for one in missed or ([NOTHING] if given else []):
            for other in given or [NOTHING]:
                found.setdefault((one, other), []).append(record.id)
    ranked = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))[:top]
    return [{"missed": one, "given": other, "texts": len(ids), "examples": ids[:3]} for (one, other), ids in ranked]


def confusion_table(rows: Sequence[dict[str, Any]]) -> str:
    """Confusions as a Markdown table."""
    lines = ["| missed | given in its place | texts | for example |", "|---|---|---|---|"]
    lines += [f"| {row['missed']} | {row['given']} | {row['texts']} | {', '.join(row['examples'])} |" for row in rows]
    return "\n".join(lines)


MAIN_FIGURES: dict[str, tuple[str, str]] = {
    "emotions macro F1": ("emotions", "macro_f1"),
    "emotions micro F1": ("emotions", "micro_f1"),
    "touchpoints macro F1": ("touchpoints", "macro_f1"),
    "touchpoints micro F1": ("touchpoints", "micro_f1"),
    "signals macro F1": ("signals", "macro_f1"),
    "sentiment accuracy": ("sentiment", "accuracy"),
    "pairs F1": ("pairs", "f1"),
}
"""What a table shows of a group: name -> (head, key) in its figures."""


def table(report: dict[str, Any], intervals: bool = False) -> str:
    """The groups as a Markdown table, with the 95 % intervals if wanted."""
    lines = ["| texts | records | " + " | ".join(MAIN_FIGURES) + " |", "|---" * (2 + len(MAIN_FIGURES)) + "|"]
    for name, group in report.items():
        cells = [_cell(group[head], key, intervals) for head, key in MAIN_FIGURES.values()]
        lines.append(f"| {name} | {group['records']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(figures: dict[str, Any], key: str, interval: bool) -> str:
    value, bounds = figures[key], figures.get(f"{key}_interval")
    if value is None:
        return "-"
    return f"{value:.3f} ({bounds[0]:.3f}-{bounds[1]:.3f})" if interval and bounds else f"{value:.3f}"


def calibration_table(report: dict[str, Any], groups: Iterable[str]) -> str:
    """Expected calibration error of each head, and what `auto` decides, per group, as a Markdown table."""
    lines = ["| texts | head | calibration error | auto precision | auto covers | auto decisions |", "|---" * 6 + "|"]
    for name in groups:
        for head in HEADS:
            figures = report[name][head]
            auto = figures.get("auto", {"precision": None, "coverage": None, "decisions": "-"})
            shares = ["-" if x is None else f"{x:.3f}" for x in (figures["ece"], auto["precision"], auto["coverage"])]
            lines.append(f"| {name} | {head} | " + " | ".join(shares) + f" | {auto['decisions']} |")
    return "\n".join(lines)


def label_table(report: dict[str, Any], head: Head, languages: Sequence[str]) -> str:
    """F1 and support of each label of a head, per language, as a Markdown table."""
    names = sorted({name for language in languages for name in report.get(language, {}).get(head, {}).get("labels", {})})
    lines = ["| label | " + " | ".join(f"{x} F1 | {x} texts" for x in languages) + " |", "|---" * (1 + 2 * len(languages)) + "|"]
    for name in names:
        cells = []
        for language in languages:
            found = report.get(language, {}).get(head, {}).get("labels", {}).get(name)
            cells += [f"{found['f1']:.2f}", str(found["support"])] if found else ["-", "0"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
