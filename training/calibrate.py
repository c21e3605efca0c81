"""Calibration and thresholds, fitted through the pipeline on texts that training has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from nlp_service.core.decisions import Band, Bands, Calibration, PairFeatures, PairModel, Platt
from nlp_service.core.decoding import Decoder, TextLogits
from nlp_service.core.schema import ModelInfo
from nlp_service.core.taxonomy import CLAUSE_HEADS, GENERAL, MULTI_LABEL_HEADS, Taxonomy
from nlp_service.pipeline import Pipeline
from nlp_service.preparation import PreparedText
from training.evaluate import Counts
from training.examples import UNKNOWN, segment_targets, text_targets
from training.logistic import fit_logistic
from training.records import Record

AUTO_PRECISION = 0.95
_AUTO_PRIOR = 1000  # decisions of its head that each label's precision begins with: its own few are a matter of luck
_FOLDS = 5
_PRIOR_STRENGTH = np.array([8.0, 2.0])  # on Platt's scale and bias, in units of the likelihood: a few dozen texts overrule it
_NOBODY = ModelInfo(name="", version="", taxonomy=0)  # nothing is decoded here that would carry a model's name


@dataclass(frozen=True)
class Fitted:
    """What goes into the manifest."""

    calibration: Calibration
    thresholds: dict[str, Bands]
    pairs: PairModel


@dataclass(frozen=True)
class _Read:
    record: Record
    prepared: PreparedText
    logits: TextLogits


def fit(pipeline: Pipeline, records: Sequence[Record]) -> Fitted:
    """Fits everything on `records`, which must be held back from training. Texts that give no answer are left out."""
    taxonomy = pipeline.taxonomy
    prepared = [pipeline.prepare(record.text) for record in records]
    read = [_Read(r, p, z) for r, p, z in zip(records, prepared, pipeline.logits(prepared), strict=True) if z is not None]
    logits = np.stack([x.logits.text for x in read]).astype(np.float64)
    targets = np.stack([text_targets(x.record, taxonomy) for x in read])
    languages = np.array([x.prepared.language.calibration for x in read])

    calibration = Calibration(
        labels=_platt_tables(logits, targets, languages, taxonomy), temperature=_temperatures(logits, targets, languages, taxonomy)
    )
    probabilities = _cross_fitted(logits, targets, languages, taxonomy)
    thresholds = {}
    for head in MULTI_LABEL_HEADS:
        columns = [taxonomy.index[label.id] for label in taxonomy.labels(head)]
        known = targets[:, columns] != UNKNOWN
        of_head = _Precision.measured(probabilities[:, columns][known], targets[:, columns][known] == 1)
        for i in columns:
            known = targets[:, i] != UNKNOWN
            thresholds[taxonomy.label_ids[i]] = _bands(probabilities[known, i], targets[known, i] == 1, of_head)
    calibration = calibration.model_copy(update={"clause_margin": _clause_margin(calibration, thresholds, read, taxonomy)})
    pairs = _pair_model(Decoder(taxonomy, calibration, thresholds, PairModel(), _NOBODY), read, taxonomy, thresholds)
    return Fitted(calibration, thresholds, pairs)


def _cross_fitted(
    logits: NDArray[np.float64], targets: NDArray[np.int8], languages: NDArray[np.str_], taxonomy: Taxonomy
) -> NDArray[np.float64]:
    """[N, L]: calibrated probabilities of each text by parameters that were fitted without it; else thresholds would promise too much."""
    out = np.zeros(logits.shape)
    fold = np.arange(len(logits)) % _FOLDS
    for k in range(_FOLDS):
        labels = _platt_tables(logits[fold != k], targets[fold != k], languages[fold != k], taxonomy)
        calibration = Calibration(labels=labels, temperature=dict.fromkeys(taxonomy.languages, 1.0))
        decoder = Decoder(taxonomy, calibration, {}, PairModel(), _NOBODY)
        for i in np.flatnonzero(fold == k):
            out[i] = decoder.probabilities(logits[i].astype(np.float32), languages[i])
    return out


def _platt_tables(
    logits: NDArray[np.float64], targets: NDArray[np.int8], languages: NDArray[np.str_], taxonomy: Taxonomy
) -> dict[str, dict[str, Platt]]:
    """Three levels, each the prior of the next: the head, the label, the label in one language."""
    tables: dict[str, dict[str, Platt]] = {language: {} for language in taxonomy.languages}
    for head in MULTI_LABEL_HEADS:
        columns = [taxonomy.index[label.id] for label in taxonomy.labels(head)]
        known = targets[:, columns] != UNKNOWN
        of_head = _platt(logits[:, columns][known], targets[:, columns][known] == 1, np.array([1.0, 0.0]))
        for i in columns:
            told = targets[:, i] != UNKNOWN
            of_label = _platt(logits[told, i], targets[told, i] == 1, of_head)
            for language in taxonomy.languages:
                here = told & (languages == language)
                scale, bias = _platt(logits[here, i], targets[here, i] == 1, of_label)
                tables[language][taxonomy.label_ids[i]] = Platt(scale=max(float(scale), 0.05), bias=float(bias))
    return tables


def _platt(z: NDArray[np.float64], truth: NDArray[np.bool_], prior: NDArray[np.float64]) -> NDArray[np.float64]:
    return fit_logistic(np.stack([z, np.ones_like(z)], axis=1), truth, prior, _PRIOR_STRENGTH)


def _temperatures(
    logits: NDArray[np.float64], targets: NDArray[np.int8], languages: NDArray[np.str_], taxonomy: Taxonomy
) -> dict[str, float]:
    """Temperature of the sentiment softmax of least negative log-likelihood in each language (Guo et al. 2017)."""
    sentiment = taxonomy.slices["sentiment"]
    told = (targets[:, sentiment] == 1).any(axis=1)
    out = {}
    for language in taxonomy.languages:
        here = told & (languages == language)
        z, classes = logits[here, sentiment], targets[here, sentiment].argmax(axis=1)

        def loss(temperature: float, z: NDArray[np.float64] = z, classes: NDArray[np.intp] = classes) -> float:
            scaled = z / temperature
            return float((np.logaddexp.reduce(scaled, axis=1) - scaled[np.arange(len(z)), classes]).mean()) if len(z) else 0.0

        out[language] = float(min(np.geomspace(0.5, 4, 85), key=loss))
    return out


@dataclass(frozen=True)
class _Precision:
    """Precision of the decisions from each probability on, highest first."""

    p: NDArray[np.float64]
    precision: NDArray[np.float64]

    @classmethod
    def measured(cls, p: NDArray[np.float64], truth: NDArray[np.bool_]) -> "_Precision":
        order = np.argsort(-p, kind="stable")
        return cls(p[order], np.cumsum(truth[order]) / np.arange(1, len(p) + 1))

    def at(self, threshold: NDArray[np.float64]) -> NDArray[np.float64]:
        """Precision of the decisions with at least `threshold`, each of which must be one of the probabilities."""
        return self.precision[np.searchsorted(-self.p, -threshold, side="right") - 1]


def _bands(p: NDArray[np.float64], truth: NDArray[np.bool_], of_head: _Precision) -> Bands:
    suggest = _suggest(p, truth)
    return Bands(suggest=_measured(p, truth, suggest), auto=_auto(p, truth, suggest, of_head))


def _suggest(p: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Half of the best F1 that is reached: where calibrated probabilities are to be cut for the best F1 (Lipton et al. 2014).

    The threshold that happened to be best is a matter of luck with a few dozen texts; the F1 it reaches is much less so.
    """
    if not truth.any():
        return 0.5
    chosen = p >= best_f1_threshold(p, truth)
    return float(np.clip((chosen & truth).sum() / (chosen.sum() + truth.sum()), 0.05, 0.95))


def best_f1_threshold(p: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """The threshold (midway between two probabilities) of best F1; `truth` has at least one positive."""
    order = np.argsort(-p, kind="stable")
    hits = np.cumsum(truth[order])
    f1 = 2 * hits / (np.arange(1, len(p) + 1) + truth.sum())
    k = int(f1.argmax())
    return float((p[order[k]] + p[order[k + 1]]) / 2) if k + 1 < len(p) else float(p[order[k]])


def _auto(p: NDArray[np.float64], truth: NDArray[np.bool_], floor: float, of_head: _Precision) -> Band | None:
    """The lowest threshold, not under `floor`, from which on the decisions are right often enough.

    The precision of a label is drawn towards that of its whole head at the same probability (an empirical Bayes estimate): probabilities
    are calibrated, so labels differ little at one of them, and what one label measures on a dozen texts would promise too much.
    """
    order = np.argsort(-p, kind="stable")
    count = np.arange(1, len(p) + 1)
    precision = (np.cumsum(truth[order]) + _AUTO_PRIOR * of_head.at(p[order])) / (count + _AUTO_PRIOR)
    enough = np.flatnonzero((precision >= AUTO_PRECISION) & (p[order] >= floor))
    if not len(enough):
        return None
    return _measured(p, truth, float(np.floor(p[order[enough[-1]]] * 1e4) / 1e4))


def _measured(p: NDArray[np.float64], truth: NDArray[np.bool_], threshold: float) -> Band:
    chosen = p >= threshold
    hits, support = int((chosen & truth).sum()), int(truth.sum())
    return Band(
        threshold=round(threshold, 4),
        precision=round(hits / chosen.sum(), 4) if chosen.any() else None,
        recall=round(hits / support, 4) if support else None,
        support=support,
    )


def _clause_margin(calibration: Calibration, thresholds: dict[str, Bands], read: Sequence[_Read], taxonomy: Taxonomy) -> float:
    """The margin of best F1 over (clause, label), for the true labels of texts whose clauses are all labelled."""
    cases = []
    for x in read:
        if x.record.exhaustive and len(x.prepared.segments) > 1:
            truth = segment_targets(x.record, x.prepared.segments, taxonomy)
            labels = [
                i
                for head in sorted(x.record.exhaustive)
                for i in np.arange(truth.shape[1])[taxonomy.slices[head]]
                if (truth[:, i] == 1).any()
            ]
            cases.append((x, truth == 1, labels))

    def f1(margin: float) -> float:
        decoder = Decoder(taxonomy, calibration.model_copy(update={"clause_margin": margin}), thresholds, PairModel(), _NOBODY)
        counts = Counts()
        for x, truth, labels in cases:
            shown = decoder.shown(decoder.probabilities(x.logits.segments, x.prepared.language.calibration), labels)
            for k, i in product(range(len(shown)), labels):
                counts.add(i in shown[k], bool(truth[k, i]))
        return counts.f1

    return float(max(np.arange(0, 4.01, 0.25), key=f1)) if cases else Calibration.model_fields["clause_margin"].default


@dataclass(frozen=True)
class _Candidates:
    """The emotions and touchpoints that a text is said to have, and the features [E * T, K] of each pair of them, emotions first."""

    true: frozenset[tuple[str, str]]
    emotions: list[str]
    touchpoints: list[str]
    features: NDArray[np.float64]


def _pair_model(decoder: Decoder, read: Sequence[_Read], taxonomy: Taxonomy, thresholds: dict[str, Bands]) -> PairModel:
    """Fits the relation of emotion and touchpoint on the candidates that decoding meets, then the threshold of best pair F1."""
    texts = [_candidates(decoder, x, x.record.pairs, taxonomy, thresholds) for x in read if x.record.pairs is not None]
    features = np.concatenate([x.features for x in texts])
    hit = np.array([(t, e) in x.true for x in texts for e, t in product(x.emotions, x.touchpoints)], bool)
    default = PairModel()
    prior = np.array([default.bias, *(getattr(default, name) for name in PairFeatures.model_fields)])
    weights = fit_logistic(features, hit, prior, 0.1)

    def counts(threshold: float) -> Counts:
        out = Counts()
        for x in texts:
            p = 1 / (1 + np.exp(-x.features @ weights)).reshape(len(x.emotions), len(x.touchpoints))
            found = {(x.touchpoints[j], x.emotions[i]) for i, j in np.argwhere(p >= threshold)}
            found |= {(GENERAL, e) for i, e in enumerate(x.emotions) if not (p[i] >= threshold).any()}
            for pair in found | x.true:
                out.add(pair in found, pair in x.true)
        return out

    best = round(float(max(np.arange(0.05, 0.76, 0.05), key=lambda threshold: counts(threshold).f1)), 4)
    measured = counts(best).report()
    band = Band(threshold=best, precision=measured["precision"], recall=measured["recall"], support=int(measured["support"]))
    bias, *others = (float(w) for w in weights)
    return PairModel(bias=bias, band=band, **dict(zip(PairFeatures.model_fields, others, strict=True)))


def _candidates(
    decoder: Decoder, x: _Read, true: frozenset[tuple[str, str]], taxonomy: Taxonomy, thresholds: dict[str, Bands]
) -> _Candidates:
    language = x.prepared.language.calibration
    p, clauses = decoder.probabilities(x.logits.text, language), decoder.probabilities(x.logits.segments, language)
    emotions, touchpoints = (
        [label.id for label in taxonomy.labels(head) if p[taxonomy.index[label.id]] >= thresholds[label.id].suggest.threshold]
        for head in CLAUSE_HEADS
    )
    rows = []
    for e, t in product(emotions, touchpoints):
        features = decoder.pair_features(p, clauses, e, t, touchpoints)
        rows.append([1.0, *(getattr(features, name) for name in PairFeatures.model_fields)])
    return _Candidates(true, emotions, touchpoints, np.array(rows).reshape(-1, 1 + len(PairFeatures.model_fields)))
