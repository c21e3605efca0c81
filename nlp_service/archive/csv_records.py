"""Records of a CSV stream, such that one broken record costs one record and not the rest of the file."""

import csv
from collections import deque
from collections.abc import Iterator
from typing import TextIO

from nlp_service.archive.rows import RECORD_LIMIT

# Python refuses fields over 131,072 characters; our own limit on whole records is the one that bounds memory.
csv.field_size_limit(max(csv.field_size_limit(), RECORD_LIMIT + 1))

DELIMITERS = (",", ";", "\t")


class BadRecord(str):
    """Stands in the stream for a record that cannot be read; the string is the reason."""


class _OverLongError(Exception):
    """The record has outgrown RECORD_LIMIT."""


def detect_delimiter(header: str) -> str:
    """The delimiter that cuts the header line into most names; a comma where none cuts it."""

    def names(delimiter: str) -> int:
        return len(next(csv.reader([header], delimiter=delimiter), []))

    return max(DELIMITERS, key=names)


class CsvRecords:
    """Iterates over the records of `stream` (opened with newline=""), each a list of fields or a BadRecord; blank lines are skipped.

    Without a delimiter given, the first line decides which it is.

    The parser is strict. Where a quoted field is never closed, or closes in front of something that is no delimiter, only the
    first line of that record is given up; the lines that it had swallowed are read again as records of their own.
    """

    def __init__(self, stream: TextIO, delimiter: str | None = None) -> None:
        first = read_line(stream)
        while first is not None and first.isspace():
            first = read_line(stream)
        self._lines = _Lines(stream, first)
        self._reader = csv.reader(self._lines, delimiter=delimiter or detect_delimiter(first or ""), strict=True)

    def __iter__(self) -> Iterator[list[str] | BadRecord]:
        while True:
            self._lines.begin_record()
            try:
                record = next(self._reader)
            except StopIteration:
                return
            except _OverLongError:
                yield BadRecord(f"the record is longer than {RECORD_LIMIT:,} characters, or a quote in it is never closed")
                self._lines.give_back_all_but_first()
            except csv.Error:
                yield BadRecord("a quote is never closed, or stands unescaped in a quoted field")
                self._lines.give_back_all_but_first()
            else:
                if record:
                    yield record


class _Lines:
    """The physical lines of a stream, with memory of the current record. None stands for a line over the limit, already dropped."""

    def __init__(self, stream: TextIO, first: str | None) -> None:
        self._stream = stream
        self._waiting: deque[str | None] = deque([first])
        self._record: list[str | None] = []
        self._length = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._waiting.popleft() if self._waiting else read_line(self._stream)
        if line == "":
            raise StopIteration
        self._record.append(line)
        self._length += len(line or "")
        if line is None or self._length > RECORD_LIMIT:
            raise _OverLongError
        return line

    def begin_record(self) -> None:
        self._record, self._length = [], 0

    def give_back_all_but_first(self) -> None:
        self._waiting.extendleft(reversed(self._record[1:]))


def read_line(stream: TextIO) -> str | None:
    """The next line with its end, "" at the end of the stream, or None for a line over RECORD_LIMIT, which is dropped whole."""
    line = stream.readline(RECORD_LIMIT + 1)
    if len(line) <= RECORD_LIMIT:
        return line
    while line and not line.endswith(("\n", "\r")):
        line = stream.readline(RECORD_LIMIT)
    return None
