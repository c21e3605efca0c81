import csv
import io

import pytest
from archive_reading import Read
from hypothesis import given
from hypothesis import strategies as st

from nlp_service.archive import csv_records
from nlp_service.archive.csv_records import BadRecord, CsvRecords, detect_delimiter
from nlp_service.archive.rows import RECORD_LIMIT, Row, Unreadable
from nlp_service.core.errors import InputError


def records(content: str, delimiter: str | None = ",") -> list[list[str] | BadRecord]:
    return list(CsvRecords(io.StringIO(content, newline=""), delimiter))


FIELDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(
    st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(FIELDS, min_size=n, max_size=n), max_size=6)),
    st.sampled_from(csv_records.DELIMITERS),
    # Python's writer quotes a lone \r only where it is in the line's end.
    st.sampled_from([("\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_ALL), ("\r", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_MINIMAL)]),
)
def test_reads_back_what_a_csv_writer_wrote(rows: list[list[str]], delimiter: str, style: tuple[str, int]) -> None:
    end, quoting = style
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows([["header"], *rows])
    # The header's name is no blank, because blank lines before a header are skipped.
    assert records(out.getvalue(), delimiter) == [["header"], *rows]


@given(st.lists(st.sampled_from(['"', "a", ",", "\n", "b\n", '""', "\r\n", "c,d\n"]), max_size=30).map("".join))
def test_no_input_stops_the_reader_or_loses_a_line_with_letters(content: str) -> None:
    read = records("h,i\n" + content)
    kept = sum(field.count("d") for record in read if not isinstance(record, BadRecord) for field in record)
    bad = sum(isinstance(record, BadRecord) for record in read)
    # Each bad record gives up one physical line; everything else is still there.
    lines_with_d = sum("d" in line for line in content.split("\n"))
    assert kept + bad >= lines_with_d


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [("id,text", ","), ("id;text", ";"), ("id\ttext", "\t"), ('"a;b",c,d', ","), ("text", ","), ('id;"text, long";x', ";")],
)
def test_finds_the_delimiter_in_the_header(header: str, delimiter: str) -> None:
    assert detect_delimiter(header) == delimiter


def test_an_open_quote_costs_one_row(read: Read) -> None:
    rows = read("a.csv", b'id,text\n1,"never closed\n2,second\n3,"third, quoted"\n4,fourth\n')
    assert [row.number for row in rows] == [1, 2, 3, 4]
    assert isinstance(rows[0], Unreadable)
    assert "quote" in rows[0].reason
    assert rows[1:] == [Row(2, "2", "second"), Row(3, "3", "third, quoted"), Row(4, "4", "fourth")]


def test_a_record_over_the_limit_costs_one_row(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_records, "RECORD_LIMIT", 100)
    lines = [b'"opens', *[b"%d" % i for i in range(60)], b'closes"']
    rows = read("a.csv", b"text\n" + b"\n".join(lines) + b"\nafter\n")
    assert isinstance(rows[0], Unreadable)
    assert "longer than 100" in rows[0].reason
    assert rows[1] == Row(2, "2", "0")
    assert rows[-1] == Row(len(lines) + 1, str(len(lines) + 1), "after")


def test_a_line_over_the_limit_is_dropped_whole(read: Read) -> None:
    rows = read("a.csv", b"text\n" + b"x" * (2 * RECORD_LIMIT + 5) + b"\nafter\n")
    assert isinstance(rows[0], Unreadable)
    assert rows[1:] == [Row(2, "2", "after")]


def test_an_over_long_line_inside_an_open_quote_is_a_row_of_its_own(read: Read) -> None:
    rows = read("a.csv", b'text\n"open\n' + b"x" * (RECORD_LIMIT + 5) + b"\nafter\n")
    assert [type(row) for row in rows] == [Unreadable, Unreadable, Row]
    assert rows[2] == Row(3, "3", "after")


def test_fields_over_pythons_own_limit_are_read(read: Read) -> None:
    long = "a " * 100_000
    assert read("a.csv", f"id,text\n1,{long}\n".encode()) == [Row(1, "1", long)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1", "1 fields where the header has 2"),
        (b"1,a,b", "3 fields where the header has 2"),
        (b"1,caf\xe9", "column 'text' is not valid Unicode"),
        (b"\xe9,b", "column 'id' is not valid Unicode"),
        (b"1," + b"x" * 1_000_001, "column 'text' is longer than 1,000,000 characters"),
        (b'1,"a"b', "a quote is never closed, or stands unescaped in a quoted field"),
    ],
)
def test_bad_rows_stay_in_their_place(read: Read, line: bytes, reason: str) -> None:
    before, bad, after = read("a.csv", b"id,text\n0,before\n" + line + b"\n2,after\n")
    assert (before, after) == (Row(1, "0", "before"), Row(3, "2", "after"))
    assert isinstance(bad, Unreadable)
    assert (bad.number, bad.reason) == (2, reason)


def test_a_bad_byte_in_a_column_that_is_not_read_harms_nothing(read: Read) -> None:
    assert read("a.csv", b"id,text,city\n1,fine,Le\xf3n\n") == [Row(1, "1", "fine")]


def test_line_breaks_delimiters_and_quotes_inside_a_field(read: Read) -> None:
    rows = read("a.csv", b'id;text\r\n1;"one\r\ntwo; ""three"""\r\n\r\n2;four\r\n')
    assert rows == [Row(1, "1", 'one\r\ntwo; "three"'), Row(2, "2", "four")]


def test_byte_order_mark_is_no_part_of_the_first_column(read: Read) -> None:
    assert read("a.csv", "\ufeffid,text\n1,á\n".encode()) == [Row(1, "1", "á")]


def test_a_tsv_is_cut_at_tabs_whatever_its_header_has(read: Read) -> None:
    assert read("a.tsv", b"id\ttext, with, commas\n1\ta,b\n", text_column="text, with, commas") == [Row(1, "1", "a,b")]


def test_empty_texts_and_ids_are_rows(read: Read) -> None:
    assert read("a.csv", b"id,text\n,\n") == [Row(1, "", "")]


def test_other_encodings(read: Read) -> None:
    content = "id,reseña\n1,mañana\n"
    assert read("a.csv", content.encode("cp1252"), encoding="cp1252") == [Row(1, "1", "mañana")]
    assert read("a.csv", content.encode("utf-16"), encoding="utf-16") == [Row(1, "1", "mañana")]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", {}, "empty"),
        (b"\n\n", {}, "empty"),
        ("id,reseña\n".encode("cp1252"), {}, "header is not utf-8; say what it is with --encoding"),
        ("id,text\n".encode("utf-16"), {}, "UTF-16"),
        (b"id,text\n", {"encoding": "klingon"}, "unknown encoding 'klingon'"),
        (b"id,text\n", {"encoding": "hex"}, "unknown encoding 'hex'"),
        (b'id,"text\n', {}, "the header cannot be read"),
        (b"a,b\n", {}, "--text-column"),
    ],
)
def test_files_that_cannot_be_read_at_all(read: Read, content: bytes, options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read("a.csv", content, **options)


def test_starts_after_any_row(read: Read) -> None:
    content = b'text\na\n"b\nb"\n"broken\nc\nd\n'
    everything = read("a.csv", content)
    assert len(everything) == 5
    for start in range(7):
        assert read("a.csv", content, start) == everything[start:]
