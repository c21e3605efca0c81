"""Scored rows as bytes: JSONL, flat CSV for people, typed Parquet.

Every format grows by appending the bytes of one chunk after the other to a part file, so that an interrupted job can be cut back to its
last whole chunk. Parquet files cannot grow, so their part file is an Arrow stream, rewritten as Parquet when all rows are there.
"""

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nlp_service.archive.formats import OutputFormat
from nlp_service.archive.rows import Unreadable
from nlp_service.core.schema import Analysis, LabelScore
from nlp_service.core.taxonomy import HEADS, Head, Taxonomy

_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"  # of an Arrow stream; one without it is read to the end of the file
_ROW_GROUP_BATCHES = 16  # 16,384 rows with chunks of 1,024


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
    return CsvWriter(taxonomy, scores=scores) if format == "csv" else ParquetWriter(taxonomy, scores=scores)


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


class ParquetWriter(Writer):
    """The fields of an analysis as typed, nested columns, with `row` and `error`."""

    def __init__(self, taxonomy: Taxonomy, *, scores: bool) -> None:
        self.schema = _schema(taxonomy, scores=scores)
        self._prefix = self._stream(None)

    def header(self) -> bytes:
        """The schema message of the Arrow stream."""
        return self._prefix

    def chunk(self, rows: Sequence[Scored]) -> bytes:
        """One record batch message."""
        batch = pa.RecordBatch.from_pylist([_record(row) for row in rows], schema=self.schema)
        return self._stream(batch)[len(self._prefix) :]

    def finish(self, part: Path, output: Path) -> None:
        """Rewrites the stream as Parquet beside the output, then renames it."""
        built = part.with_name(f"{part.name}.parquet")
        with (
            pa.OSFile(str(part)) as file,
            pa.ipc.open_stream(file) as stream,
            pq.ParquetWriter(built, self.schema, compression="zstd") as parquet,
        ):
            for batches in _groups(stream, _ROW_GROUP_BATCHES):
                parquet.write_table(pa.Table.from_batches(batches, self.schema))
        built.replace(output)
        part.unlink()

    def _stream(self, batch: pa.RecordBatch | None) -> bytes:
        """An Arrow stream of one batch or none, without its end marker."""
        buffer = io.BytesIO()
        writer = pa.ipc.new_stream(buffer, self.schema, options=pa.ipc.IpcWriteOptions(compression="zstd"))
        if batch is not None:
            writer.write_batch(batch)
        writer.close()
        return buffer.getvalue().removesuffix(_END_OF_STREAM)


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


def _record(row: Scored) -> dict[str, Any]:
    if isinstance(row.outcome, Unreadable):
        return {"id": row.outcome.id, "row": row.number, "error": row.outcome.reason}
    return {"row": row.number, **row.outcome.model_dump()}


def _groups(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[list[pa.RecordBatch]]:
    group: list[pa.RecordBatch] = []
    for batch in batches:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _schema(taxonomy: Taxonomy, *, scores: bool) -> pa.Schema:
    """Columns in the order of Analysis. Probabilities are doubles: JSON and Parquet hold the same numbers."""
    string, number, offset = pa.string(), pa.float64(), pa.int64()
    label: dict[str, pa.DataType] = {"label": string, "probability": number, "decision": string}
    emotion = pa.list_(_struct({**label, "cluster": string}))
    touchpoint = pa.list_(_struct({**label, "stage": string}))
    span = {"start": offset, "end": offset, "text": string}
    sentiment = _struct({"label": string, "score": number, "probabilities": _each(taxonomy, "sentiment")})
    segment = _struct({**span, "language": string, "emotions": emotion, "touchpoints": touchpoint})
    pair = _struct({"touchpoint": string, "emotion": string, "probability": number, "evidence": pa.list_(_struct(span))})
    columns: dict[str, pa.DataType] = {
        "id": string, "row": offset, "status": string, "language": string, "sentiment": sentiment, "emotions": emotion,
        "touchpoints": touchpoint, "signals": pa.list_(_struct(label)), "segments": pa.list_(segment), "pairs": pa.list_(pair),
        "model": _struct({"name": string, "version": string, "taxonomy": offset}), "error": string,
    }  # fmt: skip
    if scores:
        columns["scores"] = _struct({head: _each(taxonomy, head) for head in HEADS})
    return pa.schema([pa.field(name, kind) for name, kind in columns.items()])


def _struct(fields: dict[str, pa.DataType]) -> pa.DataType:
    return pa.struct(list(fields.items()))


def _each(taxonomy: Taxonomy, head: Head) -> pa.DataType:
    return pa.struct([(label.id, pa.float64()) for label in taxonomy.labels(head)])
