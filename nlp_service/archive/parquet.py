"""Parquet in and out. The only module that needs pyarrow (extra `parquet`); `formats.parquet` imports it when it is asked for."""

import io
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nlp_service.archive.columns import choose
from nlp_service.archive.readers import AnyRow, ReadOptions, Source
from nlp_service.archive.rows import Unreadable, make_row
from nlp_service.archive.writers import Scored, Writer
from nlp_service.core.errors import InputError
from nlp_service.core.taxonomy import HEADS, Head, Taxonomy

_PARQUET_BATCH = 1024
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"  # of an Arrow stream; one without it is read to the end of the file
_ROW_GROUP_BATCHES = 16  # 16,384 rows with chunks of 1,024


class ParquetSource(Source):
    """A Parquet file, read in batches of the columns needed."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        self._done = 0
        with self._open() as file:
            schema, self.total = file.schema_arrow, file.metadata.num_rows
        strings = [field.name for field in schema if _is_text(field.type) and not _is_binary(field.type)]
        self.columns = choose(schema.names, strings, options.text_column, options.id_column)
        held = schema.field(self.columns.text).type
        if not _is_text(held):
            raise InputError(f"{path}: column {self.columns.text!r} holds {held}, not text")

    def fraction(self) -> float:
        """See Source."""
        return self._done / max(1, self.total or 0)

    def rows(self, start: int = 0) -> Generator[AnyRow, None, None]:
        """See Source."""
        wanted = list({self.columns.text: 0, **({self.columns.id: 0} if self.columns.id is not None else {})})
        with self._open() as file:
            groups, number = _row_groups(file, start)
            for batch in file.iter_batches(_PARQUET_BATCH, row_groups=groups, columns=wanted):
                texts = _values(batch.column(self.columns.text))
                ids = _values(batch.column(self.columns.id)) if self.columns.id is not None else [None] * len(texts)
                for text, name in zip(texts, ids, strict=True):
                    number += 1
                    self._done = number
                    if number > start:
                        yield make_row(number, self.columns, text, name)

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        try:
            with pq.ParquetFile(self._path) as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{self._path}: not a Parquet file, or a damaged one") from error


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


def _is_binary(type: pa.DataType) -> bool:
    return bool(pa.types.is_binary(type) or pa.types.is_large_binary(type) or pa.types.is_binary_view(type))


def _is_text(type: pa.DataType) -> bool:
    """Binary counts: old writers do not mark their strings as UTF-8."""
    held = type.value_type if pa.types.is_dictionary(type) else type
    return bool(pa.types.is_string(held) or pa.types.is_large_string(held) or pa.types.is_string_view(held) or _is_binary(held))


def _values(column: pa.Array) -> list[Any]:
    """Python values; strings are decoded one by one, because one invalid string would lose the whole batch to `to_pylist`."""
    if pa.types.is_fixed_size_binary(column.type):  # how UUIDs are kept
        return [None if v is None else v.hex() for v in column.to_pylist()]
    if not _is_text(column.type):
        return [v if v is None or isinstance(v, int | float | list | dict) else str(v) for v in column.to_pylist()]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return [None if v is None else v.decode("utf-8", "surrogateescape") for v in column.cast(pa.large_binary()).to_pylist()]


def _row_groups(file: pq.ParquetFile, start: int) -> tuple[list[int], int]:
    """The row groups that hold rows after `start`, and how many rows stand before them."""
    groups, before, first = list(range(file.metadata.num_row_groups)), 0, 0
    while first < len(groups) and before + file.metadata.row_group(first).num_rows <= start:
        before += file.metadata.row_group(first).num_rows
        first += 1
    return groups[first:], before


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
