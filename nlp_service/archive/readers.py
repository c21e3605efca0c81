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

from nlp_service.archive.columns import choose
from nlp_service.archive.csv_records import BadRecord, CsvRecords, read_line
from nlp_service.archive.formats import input_format, is_gzip, parquet
from nlp_service.archive.rows import RECORD_LIMIT, Columns, Row, Unreadable, make_row
from nlp_service.core.errors import InputError

AnyRow = Row | Unreadable

_SAMPLE = 100  # JSONL rows whose keys stand for the columns


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
        source: Source = parquet().ParquetSource(path, options)
        return source
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
