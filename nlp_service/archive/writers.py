"""Scored rows as bytes: JSONL, flat CSV for people, typed Parquet.

Every format grows by appending the bytes of one chunk after the other to a part file, so that an interrupted job can be cut back to its
last whole chunk. Parquet files cannot grow, so their part file is an Arrow stream, rewritten as Parquet when all rows are there.
"""

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nlp_service.archive.formats import OutputFormat, parquet
from nlp_service.archive.rows import Unreadable
from nlp_service.core.schema import Analysis, LabelScore
from nlp_service.core.taxonomy import HEADS, Taxonomy


@dataclass(frozen=True, slots=True)
class Scored:
    """The outcome of input row `number`."""

    number: int
    outcome: Analysis | Unreadable


class Writer(ABC):
    """One output format. Bytes depend on the rows alone, so a resumed job writes what an uninterrupted one would."""

    @abstractmethod
    def header(self) -> bytes:
        """What the part file starts with."""

    @abstractmethod
    def chunk(self, rows: Sequence[Scored]) -> bytes:
        """What one chunk adds."""

    def finish(self, part: Path, output: Path) -> None:
        """Turns the complete part file into the output, in one step for whoever looks at the output."""
        part.replace(output)


def open_writer(format: OutputFormat, taxonomy: Taxonomy, *, scores: bool) -> Writer:
    """The writer of a format; `scores` adds every label's probability."""
    if format == "jsonl":
        return JsonlWriter()
    return CsvWriter(taxonomy, scores=scores) if format == "csv" else parquet().ParquetWriter(taxonomy, scores=scores)


class JsonlWriter(Writer):
    """One analysis a line, exactly the JSON of the other surfaces; an unreadable row is `{"id", "row", "error"}`."""

    def header(self) -> bytes:
        """Nothing."""
        return b""

    def chunk(self, rows: Sequence[Scored]) -> bytes:
        """See Writer."""
        return "".join(f"{_json(row.outcome)}\n" for row in rows).encode("utf-8")


class CsvWriter(Writer):
    """One row a text. Several labels stand in one field as `a|b`, most probable first, their probabilities beside them as `0.98|0.71`."""

    _COLUMNS = (
        "id", "row", "status", "language", "sentiment", "sentiment_score", "emotions", "emotion_probabilities", "touchpoints",
        "touchpoint_probabilities", "signals", "signal_probabilities", "pairs", "pair_probabilities", "model_version", "error",
    )  # fmt: skip

    def __init__(self, taxonomy: Taxonomy, *, scores: bool) -> None:
        self._labels = [(head, label.id) for head in HEADS for label in taxonomy.labels(head)] if scores else []

    def header(self) -> bytes:
        """The names of the columns; with scores one `score_LABEL` for each label."""
        return _csv([[*self._COLUMNS, *(f"score_{label}" for _, label in self._labels)]])

    def chunk(self, rows: Sequence[Scored]) -> bytes:
        """See Writer."""
        return _csv(self._fields(row) for row in rows)

    def _fields(self, row: Scored) -> list[object]:
        a = row.outcome
        if isinstance(a, Unreadable):
            empty = len(self._COLUMNS) - 3
            return [a.id, row.number, *[None] * empty, a.reason, *[None] * len(self._labels)]
        fields: list[object] = [a.id, row.number, a.status, a.language]
        fields += [a.sentiment.label, a.sentiment.score] if a.sentiment else [None, None]
        for found in (a.emotions, a.touchpoints, a.signals):
            fields += _joined(found)
        fields += ["|".join(f"{p.touchpoint}:{p.emotion}" for p in a.pairs), "|".join(str(p.probability) for p in a.pairs)]
        fields += [a.model.version, None]
        return [*fields, *(a.scores[head][label] if a.scores else None for head, label in self._labels)]


def _json(outcome: Analysis | Unreadable) -> str:
    if isinstance(outcome, Unreadable):
        return json.dumps({"id": outcome.id, "row": outcome.number, "error": outcome.reason}, ensure_ascii=False, separators=(",", ":"))
    return outcome.model_dump_json()


def _csv(rows: Iterable[Sequence[object]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode("utf-8")


def _joined(found: Sequence[LabelScore]) -> list[object]:
    return ["|".join(score.label for score in found), "|".join(str(score.probability) for score in found)]
