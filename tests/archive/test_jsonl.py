import gzip
import json

import pytest
from archive_reading import Read

from nlp_service.archive.rows import RECORD_LIMIT, Row, Unreadable
from nlp_service.core.errors import InputError

GOOD = b'{"id": "a", "text": "before"}\n'


@pytest.mark.parametrize(
    ("line", "id", "reason"),
    [
        (b"{oops", None, "not valid JSON (character 2)"),
        (b"[1]", None, "not a JSON object"),
        (b'"text"', None, "not a JSON object"),
        (b'{"id": "b"}', "b", "column 'text' is missing"),
        (b'{"id": "b", "text": null}', "b", "column 'text' is null"),
        (b'{"id": "b", "text": 5}', "b", "column 'text' is a number"),
        (b'{"id": "b", "text": true}', "b", "column 'text' is a boolean"),
        (b'{"id": "b", "text": ["x"]}', "b", "column 'text' is a list"),
        (b'{"id": "b", "text": {}}', "b", "column 'text' is an object"),
        (b'{"id": "b", "text": "caf\xe9"}', "b", "column 'text' is not valid Unicode"),
        (rb'{"id": "b\ud800", "text": "x"}', None, "column 'id' is not valid Unicode"),
        (rb'{"id": "b\u0000", "text": "x"}', None, "column 'id' contains NUL"),
        (b'{"id": "b", "text": "a\0"}', None, "not valid JSON (character 23)"),
        (b'{"id": ["b"], "text": "x"}', None, "column 'id' is a list, not an id"),
        (b'{"id": true, "text": "x"}', None, "column 'id' is a boolean, not an id"),
        (b'{"id": ["b"]}', None, "column 'id' is a list, not an id"),
        (b'{"id": "b", "text": "%s"}' % (b"x" * 1_000_001), "b", "column 'text' is longer than 1,000,000 characters"),
        (b'{"id": "b", "text": "%s"}' % (b"x" * RECORD_LIMIT), None, "the line is longer than 4,000,000 characters"),
        (b'{"id": 1%s, "text": "x"}' % (b"0" * 5000), None, "not valid JSON (a number too long)"),
        (b'{"id": "b", "text": "x", "deep": %s}' % (b"[" * 200_000), None, "the JSON is nested too deeply"),
    ],
)
def test_bad_rows_stay_in_their_place(read: Read, line: bytes, id: str | None, reason: str) -> None:
    before, bad, after = read("a.jsonl", GOOD + line + b'\n{"id": "c", "text": "after"}\n')
    assert (before, after) == (Row(1, "a", "before"), Row(3, "c", "after"))
    assert bad == Unreadable(2, id, reason)


def test_ids_are_strings_numbers_or_none(read: Read) -> None:
    rows = read("a.jsonl", b'{"id": 7, "text": "x"}\n{"id": null, "text": "x"}\n{"text": "x"}\n{"id": 1.5, "text": "x"}\n')
    assert [row.id for row in rows] == ["7", None, None, "1.5"]


def test_without_an_id_column_ids_are_row_numbers(read: Read) -> None:
    rows = read("a.jsonl", b'{"text": "x"}\n\n  \nnope\n{"text": "y"}')
    assert rows == [Row(1, "1", "x"), Unreadable(2, "2", "not valid JSON (character 1)"), Row(3, "3", "y")]


def test_line_separators_of_unicode_do_not_end_a_line(read: Read) -> None:
    text = "a\u2028b\u0085c\x0bd"
    assert read("a.jsonl", json.dumps({"text": text}, ensure_ascii=False).replace("\x0b", "\\u000b").encode()) == [Row(1, "1", text)]


def test_gzip(read: Read) -> None:
    assert read("a.jsonl.gz", gzip.compress(GOOD)) == [Row(1, "a", "before")]
    assert read("b.CSV.GZ", gzip.compress(b"text\nx\n")) == [Row(1, "1", "x")]


def test_a_gzip_that_ends_early_is_an_error_and_no_crash(read: Read) -> None:
    lines = b"".join(b'{"text": "%d"}\n' % (i * 7919) for i in range(5000))
    with pytest.raises(InputError, match="damaged or incomplete"):
        read("a.jsonl.gz", gzip.compress(lines)[:-5000])
    with pytest.raises(InputError, match="damaged or incomplete"):
        read("a.jsonl.gz", lines)


def test_the_columns_are_the_keys_of_the_first_objects(read: Read) -> None:
    assert read("a.jsonl", b'nope\n{"n": 1}\n{"n": 2, "said": "x"}\n')[2] == Row(3, "3", "x")
    with pytest.raises(InputError, match="the columns are 'a', 'b'"):
        read("b.jsonl", b'{"a": "x"}\n{"b": "y"}\n')


def test_no_object_at_all(read: Read) -> None:
    with pytest.raises(InputError, match="no JSON object"):
        read("a.jsonl", b"")
    assert read("a.jsonl", b"", text_column="text") == []


def test_starts_after_any_row(read: Read) -> None:
    content = GOOD + b"\nnope\n" + GOOD
    everything = read("a.jsonl", content)
    for start in range(5):
        assert read("a.jsonl", content, start) == everything[start:]
