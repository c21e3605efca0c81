"""What a reader hands on: a row of customer text, or the reason why there is none."""

import re
from dataclasses import dataclass

FIELD_LIMIT = 1_000_000
"""Longest text, in code points, that is read; longer is no feedback but a broken export."""
RECORD_LIMIT = 4_000_000
"""Longest CSV record or JSONL line, in code points: what bounds the memory that a broken file can take."""

_UNDECODED = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Row:
    """One readable row. `number` counts data rows from 1; `id` is None where the row has none in the id column."""

    number: int
    id: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row without a text to read. `reason` never quotes the row: it may be shown and logged."""

    number: int
    id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns to read. Without an id column, ids are the row numbers."""

    text: str
    id: str | None


class BadValueError(Exception):
    """A value that makes its row unreadable; the message is the reason, without the value."""


def checked_text(value: str, column: str) -> str:
    """`value` if it is a text of bearable length in the encoding of the file. Raises BadValueError.

    Readers decode with `surrogateescape`, so bytes that are not of the encoding arrive here as lone surrogates of their own range.
    What else is odd (NUL, half an emoji) is read as the API reads it: see core/text.py.
    """
    if len(value) > FIELD_LIMIT:
        raise BadValueError(f"column {column!r} is longer than {FIELD_LIMIT:,} characters")
    if not value.isascii() and _UNDECODED.search(value):
        raise BadValueError(f"column {column!r} is not valid Unicode")
    return value


def _checked_name(value: str, column: str) -> str:
    """An id that can be written back as UTF-8. Raises BadValueError."""
    if "\0" in checked_text(value, column):
        raise BadValueError(f"column {column!r} contains NUL")
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise BadValueError(f"column {column!r} is not valid Unicode")
    return value


def make_row(number: int, columns: Columns, text: object, id: object) -> Row | Unreadable:
    """The row of two raw values: `text` must be a string; `id` a string, a number or None. A bad id loses the row, never its place."""
    try:
        name = checked_id(number, columns, id)
    except BadValueError as error:
        return Unreadable(number, None, str(error))
    try:
        if not isinstance(text, str):
            raise BadValueError(f"column {columns.text!r} is {_kind(text)}")
        return Row(number, name, checked_text(text, columns.text))
    except BadValueError as error:
        return Unreadable(number, name, str(error))


def checked_id(number: int, columns: Columns, id: object) -> str | None:
    """The id as a string: the row number without an id column, None where the row has none. Raises BadValueError."""
    if columns.id is None:
        return str(number)
    if id is None:
        return None
    if isinstance(id, str):
        return _checked_name(id, columns.id)
    if isinstance(id, int | float) and not isinstance(id, bool):
        return str(id)
    raise BadValueError(f"column {columns.id!r} is {_kind(id)}, not an id")


def _kind(value: object) -> str:
    """What a value is, in the words of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "not a string"
