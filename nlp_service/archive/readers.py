"""Archives of customer text as streams of rows, whatever file they come in. A row that cannot be read never stops the rest."""

import gzip
import io
import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from nlp_service.archive.columns import choose
from nlp_service.archive.csv_records import BadRecord, CsvRecords, read_line
from nlp_service.archive.formats import input_format, is_gzip
from nlp_service.archive.rows import RECORD_LIMIT, Columns, Row, Unreadable, make_row
from nlp_service.core.errors import InputError

AnyRow = Row | Unreadable

_SAMPLE = 100  # JSONL rows whose keys stand for the columns
_PARQUET_BATCH = 1024


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """`text_column` and `id_column` are guessed where None. `encoding` is that of CSV, TSV and JSONL."""

    text_column: str | None = None
    id_column: str | None = None
    encoding: str = "utf-8"


class Source(ABC):
    """An archive whose columns are known. `total` is its number of rows, None where only reading it all would tell."""

    columns: Columns
    total: int | None = None

    @abstractmethod
    def rows(self, start: int = 0) -> Generator[AnyRow, None, None]:
        """The rows after the first `start`, in order. Raises InputError where the file is damaged beyond its rows."""

    @abstractmethod
    def fraction(self) -> float:
        """How much of the file the running `rows` has read, 0 to 1."""


def open_source(path: Path, options: ReadOptions) -> Source:
    """The archive at `path`. Raises InputError: no such file, unknown extension, not that format, no such column."""
    if not path.is_file():
        raise InputError(f"{path}: not a file" if path.exists() else f"{path}: no such file")
    kind = input_format(path)
    if kind == "parquet":
        return ParquetSource(path, options)
    if kind == "jsonl":
        return JsonlSource(path, options)
    return CsvSource(path, options, "\t" if kind == "tsv" else None)


class _TextSource(Source):
    """What CSV and JSONL share: decoding, decompression and how far the reading is."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path, self._encoding = path, options.encoding
        try:
            "".encode(options.encoding)
        except LookupError as error:
            raise InputError(f"unknown encoding {options.encoding!r}") from error
        self._raw: IO[bytes] | None = None
        self._size = max(1, path.stat().st_size)

    def fraction(self) -> float:
        """See Source."""
        return min(1.0, self._raw.tell() / self._size) if self._raw and not self._raw.closed else 1.0

    @contextmanager
    def _open(self, newline: str) -> Iterator[TextIO]:
        """The file as text. Bytes that are not of the encoding become lone surrogates, which `make_row` refuses row by row."""
        # With a byte order mark, which is no part of the first column's name, or without.
        encoding = "utf-8-sig" if self._encoding.lower().replace("_", "-") in ("utf-8", "utf8") else self._encoding
        with self._path.open("rb") as raw:
            self._raw = raw
            data: IO[bytes] = io.BufferedReader(gzip.GzipFile(fileobj=raw)) if is_gzip(self._path) else raw
            try:
                self._refuse_utf16(data, encoding)
                with io.TextIOWrapper(data, encoding, errors="surrogateescape", newline=newline) as text:
                    yield text
            except UnicodeError as error:
                raise InputError(f"{self._path}: not {self._encoding}; say what it is with --encoding") from error
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise InputError(f"{self._path}: the compressed data is damaged or incomplete") from error

    def _refuse_utf16(self, data: Any, encoding: str) -> None:
        if encoding == "utf-8-sig" and data.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise InputError(f"{self._path}: the file is UTF-16; read it with --encoding utf-16")


class CsvSource(_TextSource):
    """CSV with a header; `delimiter` None is found from the header."""

    def __init__(self, path: Path, options: ReadOptions, delimiter: str | None) -> None:
        super().__init__(path, options)
        self._delimiter = delimiter
        with self._open("") as text:
            header = next(iter(CsvRecords(text, delimiter)), None)
        if header is None:
            raise InputError(f"{path}: empty, without even a header")
        if isinstance(header, BadRecord):
            raise InputError(f"{path}: the header cannot be read: {header}")
        self._header = [name.strip() for name in header]
        if any("\ud800" <= c <= "\udfff" for name in header for c in name):
            raise InputError(f"{path}: the header is not {options.encoding}; say what it is with --encoding (cp1252 for old Excel files)")
        self.columns = choose(self._header, self._header, options.text_column, options.id_column)

    def rows(self, start: int = 0) -> Generator[AnyRow, None, None]:
        """See Source."""
        text_at = self._header.index(self.columns.text)
        id_at = self._header.index(self.columns.id) if self.columns.id is not None else None
        with self._open("") as stream:
            records = islice(CsvRecords(stream, self._delimiter), 1 + start, None)
            for number, record in enumerate(records, start + 1):
                if isinstance(record, BadRecord):
                    yield _unreadable(number, self.columns, record)
                elif len(record) != len(self._header):
                    reason = f"{len(record)} fields where the header has {len(self._header)}"
                    yield _unreadable(number, self.columns, reason)
                else:
                    yield make_row(number, self.columns, record[text_at], None if id_at is None else record[id_at])


class JsonlSource(_TextSource):
    """One JSON object a line; the columns are the keys of the first objects."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        super().__init__(path, options)
        strings: dict[str, bool] = {}
        with self._open("\n") as text:
            for line in islice(_lines(text), _SAMPLE):
                value = _parse(line)
                for key, item in value.items() if isinstance(value, dict) else ():
                    strings[key] = strings.get(key, False) or isinstance(item, str)
        if not strings and options.text_column is not None:
            self.columns = Columns(options.text_column, options.id_column)
            return
        if not strings:
            raise InputError(f"{path}: no JSON object with fields among the first {_SAMPLE} lines")
        self.columns = choose(list(strings), [key for key, yes in strings.items() if yes], options.text_column, options.id_column)

    def rows(self, start: int = 0) -> Generator[AnyRow, None, None]:
        """See Source."""
        with self._open("\n") as stream:
            for number, line in enumerate(islice(_lines(stream), start, None), start + 1):
                value = _parse(line)
                if isinstance(value, str):
                    yield _unreadable(number, self.columns, value)
                    continue
                name = None if self.columns.id is None else value.get(self.columns.id)
                row = make_row(number, self.columns, value.get(self.columns.text, ""), name)
                missing = isinstance(row, Row) and self.columns.text not in value
                yield Unreadable(number, row.id, f"column {self.columns.text!r} is missing") if missing else row


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


def _unreadable(number: int, columns: Columns, reason: str) -> Unreadable:
    """A row of which nothing could be read, its id neither."""
    return Unreadable(number, None if columns.id is not None else str(number), reason)


def _lines(stream: TextIO) -> Iterator[str | None]:
    """Lines that hold something; None for one over the limit."""
    while (line := read_line(stream)) != "":
        if line is None or not line.isspace():
            yield line


def _parse(line: str | None) -> dict[str, Any] | str:
    """The object of a JSONL line, or why there is none."""
    if line is None:
        return f"the line is longer than {RECORD_LIMIT:,} characters"
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        return f"not valid JSON (character {error.pos + 1})"
    except RecursionError:
        return "the JSON is nested too deeply"
    except ValueError:  # a number of thousands of digits
        return "not valid JSON (a number too long)"
    return value if isinstance(value, dict) else "not a JSON object"


def _is_binary(type: pa.DataType) -> bool:
    return bool(pa.types.is_binary(type) or pa.types.is_large_binary(type) or pa.types.is_binary_view(type))


def _is_text(type: pa.DataType) -> bool:
    """Binary counts: old writers do not mark their strings as UTF-8."""
    held = type.value_type if pa.types.is_dictionary(type) else type
    return bool(pa.types.is_string(held) or pa.types.is_large_string(held) or pa.types.is_string_view(held) or _is_binary(held))


def _values(column: pa.Array) -> list[Any]:
    """Python values; strings are decoded one by one, because one invalid string would lose the whole batch to `to_pylist`."""
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
