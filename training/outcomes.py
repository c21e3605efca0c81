"""What the pipeline answers to labelled texts, beside what people labelled: one row a text, the material of every figure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from nlp_service.core.schema import Analysis, Feedback
from nlp_service.core.taxonomy import HEADS, MULTI_LABEL_HEADS, Taxonomy
from nlp_service.pipeline import Pipeline
from training.records import Record

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Outcomes:
    """N texts, L labels in the order of the taxonomy (the classes of the sentiment are labels here too).

    `predicted`, `automatic` (decided `auto`), `true`, `known` [N, L]; `probability` [N, L], nan where a text had no answer.
    `pairs` [N, 3]: true positives, false positives and false negatives of (touchpoint, emotion), zero where pairs are not labelled.
    `evidence` [N, 4]: spans shown for pairs of rightly found emotions, those of them that touch labelled words of the emotion,
    labelled spans of those emotions, and those of them that are touched.
    """

    records: Sequence[Record]
    predicted: Bools
    automatic: Bools
    true: Bools
    known: Bools
    probability: NDArray[np.float64]
    pairs: NDArray[np.int64]
    evidence: NDArray[np.int64]

    def groups(self) -> dict[str, Bools]:
        """Masks [N] of all texts, of each language, each source, and each language of a source that has several."""
        names: dict[str, Bools] = {}
        spoken = {(record.source, record.lang) for record in self.records}
        several = {source for source, _ in spoken if sum(source == other for other, _ in spoken) > 1}
        for i, record in enumerate(self.records):
            own = [f"{record.source}/{record.lang}"] if record.source in several else []
            for name in ("all", record.lang, record.source, *own):
                names.setdefault(name, np.zeros(len(self.records), bool))[i] = True
        return dict(sorted(names.items()))


def collect(pipeline: Pipeline, records: Sequence[Record], chunk: int = 256, progress: bool = False) -> Outcomes:
    """Answers of `pipeline` to `records`. A text without an answer counts as one with no label and no sentiment."""
    taxonomy = pipeline.taxonomy
    shape = (len(records), len(taxonomy.label_ids))
    predicted, automatic, true, known = (np.zeros(shape, bool) for _ in range(4))
    probability = np.full(shape, np.nan)
    pairs, evidence = np.zeros((len(records), 3), np.int64), np.zeros((len(records), 4), np.int64)
    for start in tqdm(range(0, len(records), chunk), "reading", disable=not progress):
        part = records[start : start + chunk]
        analyses = pipeline.analyze([Feedback(id=r.id, text=r.text) for r in part], scores=True)
        for i, (record, analysis) in enumerate(zip(part, analyses, strict=True), start):
            predicted[i], automatic[i] = _decisions(analysis, taxonomy)
            true[i] = [label in record.positives for label in taxonomy.label_ids]
            known[i] = [label in record.known for label in taxonomy.label_ids]
            if analysis.scores:
                probability[i] = [value for head in HEADS for value in analysis.scores[head].values()]
            if record.pairs is not None:
                found = {(pair.touchpoint, pair.emotion) for pair in analysis.pairs}
                pairs[i] = len(found & record.pairs), len(found - record.pairs), len(record.pairs - found)
                evidence[i] = _evidence(record, analysis)
    return Outcomes(records, predicted, automatic, true, known, probability, pairs, evidence)


def _decisions(analysis: Analysis, taxonomy: Taxonomy) -> tuple[Bools, Bools]:
    predicted, automatic = np.zeros((2, len(taxonomy.label_ids)), bool)
    for head in MULTI_LABEL_HEADS:
        for score in getattr(analysis, head):
            predicted[taxonomy.index[score.label]] = True
            automatic[taxonomy.index[score.label]] = score.decision == "auto"
    if analysis.sentiment:
        predicted[taxonomy.index[analysis.sentiment.label]] = True
    return predicted, automatic


def _evidence(record: Record, analysis: Analysis) -> tuple[int, int, int, int]:
    shown = right = labelled = touched = 0
    for emotion in sorted({pair.emotion for pair in analysis.pairs} & record.positives):
        spans = {(s.start, s.end) for pair in analysis.pairs if pair.emotion == emotion for s in pair.evidence}
        truth = {(s.start, s.end) for s in record.spans if emotion in s.labels}
        shown, labelled = shown + len(spans), labelled + len(truth)
        right += sum(any(a < d and c < b for c, d in truth) for a, b in spans)
        touched += sum(any(a < d and c < b for c, d in spans) for a, b in truth)
    return shown, right, labelled, touched
