"""Decoding: from the logits of a text and its clauses to the labels, segments, pairs and evidence of an Analysis."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nlp_service.core.decisions import Bands, Calibration, PairFeatures, PairModel
from nlp_service.core.schema import (
    Analysis,
    Decision,
    EmotionScore,
    LabelScore,
    LanguageTag,
    ModelInfo,
    Pair,
    SegmentAnalysis,
    SentimentScore,
    Span,
    Status,
    TouchpointScore,
)
from nlp_service.core.segments import Offsets
from nlp_service.core.taxonomy import GENERAL, HEADS, MULTI_LABEL_HEADS, Head, Taxonomy

Probabilities = NDArray[np.float64]

_LEAST = 1e-4  # smaller probabilities tell nothing
_DIGITS = 4  # of a probability shown; far below what calibration can tell, and it keeps scored files small


@dataclass(frozen=True, slots=True)
class TextLogits:
    """Logits of one text: `text` [L], `segments` [S, L], in the order of the taxonomy's labels."""

    text: NDArray[np.float32]
    segments: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ReadText:
    """What decoding needs to know of a text: the original, its language, and its clauses with theirs."""

    original: str
    status: Status
    language: LanguageTag
    calibration_language: LanguageTag
    segments: Sequence[Offsets]
    segment_languages: Sequence[LanguageTag]


class Decoder:
    """Turns logits into analyses under one bundle's taxonomy, calibration and thresholds."""

    def __init__(
        self, taxonomy: Taxonomy, calibration: Calibration, thresholds: Mapping[str, Bands], pairs: PairModel, model: ModelInfo
    ) -> None:
        self._taxonomy, self._pairs, self._model = taxonomy, pairs, model
        self._thresholds = dict(thresholds)
        self._suggest = np.array([self._thresholds[x].suggest.threshold if x in thresholds else np.inf for x in taxonomy.label_ids])
        self._platt = {
            language: np.array([(p.scale, p.bias) if (p := table.get(x)) else (1.0, 0.0) for x in taxonomy.label_ids]).T
            for language, table in calibration.labels.items()
        }
        self._temperature, self._margin = calibration.temperature, calibration.clause_margin
        self._clusters = {e.id: e.cluster for e in taxonomy.emotions}
        self._stages = {t.id: t.stage for t in taxonomy.touchpoints}

    def probabilities(self, logits: NDArray[np.float32], language: LanguageTag) -> Probabilities:
        """Calibrated probabilities [..., L]: independent for the multi-label heads, summing to 1 over sentiment."""
        scale, bias = self._platt[language]
        out: Probabilities = 1 / (1 + np.exp(-np.clip(scale * logits.astype(np.float64) + bias, -50, 50)))
        sentiment = self._taxonomy.slices["sentiment"]
        z = logits[..., sentiment].astype(np.float64) / self._temperature[language]
        z = np.exp(z - z.max(axis=-1, keepdims=True))
        out[..., sentiment] = z / z.sum(axis=-1, keepdims=True)
        return out

    def decode(self, text: ReadText, logits: TextLogits | None, *, id: str | None = None, scores: bool = False) -> Analysis:
        """The analysis of one text; `logits` is None exactly where `text.status` is not `ok`."""
        if logits is None:
            return Analysis(id=id, status=text.status, language=text.language, sentiment=None, model=self._model)
        p = self.probabilities(logits.text, text.calibration_language)
        clauses = self.probabilities(logits.segments, text.calibration_language)
        accepted = {head: self._accepted(p, head) for head in MULTI_LABEL_HEADS}
        shown = self.shown(clauses, [*accepted["emotions"], *accepted["touchpoints"]])
        return Analysis(
            id=id,
            status=text.status,
            language=text.language,
            sentiment=self._sentiment(p),
            emotions=[self._emotion(i, p[i]) for i in accepted["emotions"]],
            touchpoints=[self._touchpoint(i, p[i]) for i in accepted["touchpoints"]],
            signals=[self._score(i, p[i]) for i in accepted["signals"]],
            segments=[self._segment(text, k, clauses[k], shown[k], accepted) for k in range(len(text.segments))],
            pairs=self._decode_pairs(text, p, clauses, shown, accepted),
            model=self._model,
            scores=self._all_scores(p) if scores else None,
        )

    def pair_features(
        self, p: Probabilities, clauses: Probabilities, emotion: str, touchpoint: str, touchpoints: Sequence[str]
    ) -> PairFeatures:
        """Features of one candidate pair; `p` [L] of the text, `clauses` [S, L], `touchpoints` all that the text shows."""
        e, t, odds = self._taxonomy.index[emotion], self._taxonomy.index[touchpoint], _log_odds(p)
        feels, about = clauses[:, e], clauses[:, t]
        joint, best = float((feels * about).max()), int(feels.argmax())
        there = float(sum(clauses[best, self._taxonomy.index[other]] for other in touchpoints))
        return PairFeatures(
            emotion=float(odds[e]),
            touchpoint=float(odds[t]),
            joint=math.log(max(joint, _LEAST) / (1 - min(joint, 1 - _LEAST))),
            same=joint / max(float(feels.max() * about.max()), _LEAST),
            share=float(about[best]) / max(there, _LEAST),
            only=float(len(touchpoints) == 1),
        )

    def _accepted(self, p: Probabilities, head: Head) -> list[int]:
        """Indices of a head's labels above their threshold, most probable first."""
        columns = np.arange(len(p))[self._taxonomy.slices[head]]
        chosen = columns[p[columns] >= self._suggest[columns]]
        return [int(i) for i in chosen[np.argsort(-p[chosen], kind="stable")]]

    def shown(self, clauses: Probabilities, labels: Sequence[int]) -> list[set[int]]:
        """For each clause of `clauses` [S, L] those of the text's `labels` (indices) that show in it.

        A label shows in its best clause, and in every other above the threshold whose log-odds are within the margin of the best:
        a clause is read in its context, which lends it some of what its neighbours say.
        """
        shown: list[set[int]] = [set() for _ in clauses]
        for i in labels:
            odds = _log_odds(clauses[:, i])
            near = (odds >= odds.max() - self._margin) & ((clauses[:, i] >= self._suggest[i]) | (odds == odds.max()))
            for k in np.flatnonzero(near).tolist():
                shown[k].add(i)
        return shown

    def _decode_pairs(
        self, text: ReadText, p: Probabilities, clauses: Probabilities, shown: list[set[int]], accepted: Mapping[Head, list[int]]
    ) -> list[Pair]:
        """Each accepted emotion with the touchpoints it is about, or with `general`."""
        ids, touchpoints = self._taxonomy.label_ids, accepted["touchpoints"]
        named = [ids[t] for t in touchpoints]
        pairs: list[Pair] = []
        for e in accepted["emotions"]:
            none = 1.0  # probability that no touchpoint is meant
            found: list[tuple[float, int | None]] = []
            for t in touchpoints:
                probability = self._pairs.probability(self.pair_features(p, clauses, ids[e], ids[t], named))
                none *= 1 - probability
                if probability >= self._pairs.band.threshold:
                    found.append((probability, t))
            for probability, about in found or [(float(p[e]) * none, None)]:
                evidence = self._evidence(text, clauses, shown, e, about)
                name = GENERAL if about is None else ids[about]
                pairs.append(Pair(touchpoint=name, emotion=ids[e], probability=round(probability, _DIGITS), evidence=evidence))
        return sorted(pairs, key=lambda pair: -pair.probability)

    def _evidence(self, text: ReadText, clauses: Probabilities, shown: list[set[int]], e: int, t: int | None) -> list[Span]:
        """The clauses that show the emotion: those that show the touchpoint too, where there are any."""
        where = [k for k, labels in enumerate(shown) if e in labels]
        both = [k for k in where if t in shown[k]]
        return [_span(text, k) for k in sorted(sorted(both or where, key=lambda k: -clauses[k, e])[:3])]

    def _segment(self, text: ReadText, k: int, p: Probabilities, shown: set[int], accepted: Mapping[Head, list[int]]) -> SegmentAnalysis:
        span = _span(text, k)
        return SegmentAnalysis(
            start=span.start,
            end=span.end,
            text=span.text,
            language=text.segment_languages[k],
            emotions=[self._emotion(i, p[i]) for i in accepted["emotions"] if i in shown],
            touchpoints=[self._touchpoint(i, p[i]) for i in accepted["touchpoints"] if i in shown],
        )

    def _decision(self, label: str, probability: float) -> Decision:
        auto = self._thresholds[label].auto
        return "auto" if auto and probability >= auto.threshold else "suggest"

    def _score(self, i: int, probability: float) -> LabelScore:
        label = self._taxonomy.label_ids[i]
        return LabelScore(label=label, probability=round(float(probability), _DIGITS), decision=self._decision(label, probability))

    def _emotion(self, i: int, probability: float) -> EmotionScore:
        score = self._score(i, probability)
        return EmotionScore(label=score.label, probability=score.probability, cluster=self._clusters[score.label], decision=score.decision)

    def _touchpoint(self, i: int, probability: float) -> TouchpointScore:
        score = self._score(i, probability)
        return TouchpointScore(label=score.label, probability=score.probability, stage=self._stages[score.label], decision=score.decision)

    def _sentiment(self, p: Probabilities) -> SentimentScore:
        names = [label.id for label in self._taxonomy.sentiment]
        each = dict(zip(names, (float(x) for x in p[self._taxonomy.slices["sentiment"]]), strict=True))
        score = each.get("positive", 0.0) - each.get("negative", 0.0)
        shown = {k: round(v, _DIGITS) for k, v in each.items()}
        return SentimentScore(label=max(each, key=each.__getitem__), score=round(score, _DIGITS), probabilities=shown)

    def _all_scores(self, p: Probabilities) -> dict[str, dict[str, float]]:
        return {
            head: {
                label.id: round(float(x), _DIGITS)
                for label, x in zip(self._taxonomy.labels(head), p[self._taxonomy.slices[head]], strict=True)
            }
            for head in HEADS
        }


def _span(text: ReadText, k: int) -> Span:
    start, end = text.segments[k]
    return Span(start=start, end=end, text=text.original[start:end])


def _log_odds(p: Probabilities) -> Probabilities:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    odds: Probabilities = np.log(p / (1 - p))
    return odds
