from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlp_service.archive.readers import AnyRow, ReadOptions, open_source
from nlp_service.archive.rows import Row, Unreadable
from nlp_service.core.errors import InputError


def rows_of(path: Path, start: int = 0, **options: str) -> list[AnyRow]:
    return list(open_source(path, ReadOptions(**options)).rows(start))


@pytest.mark.parametrize("type", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_strings_of_every_kind(tmp_path: Path, type: pa.DataType) -> None:
    pq.write_table(pa.table({"id": [1, 2, None], "text": pa.array(["año", None, ""], type)}), tmp_path / "a.parquet")
    assert rows_of(tmp_path / "a.parquet") == [Row(1, "1", "año"), Unreadable(2, "2", "column 'text' is null"), Row(3, None, "")]


def test_bytes_are_decoded_row_by_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": pa.array(["año".encode(), b"a\xf1o", b"a\0"], pa.binary())}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="--text-column"):
        rows_of(tmp_path / "a.parquet")
    assert rows_of(tmp_path / "a.parquet", text_column="text") == [
        Row(1, "1", "año"),
        Unreadable(2, "2", "column 'text' is not valid Unicode"),
        Row(3, "3", "a\0"),
    ]


def test_an_invalid_string_does_not_lose_its_batch(tmp_path: Path) -> None:
    offsets, data = pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"\xffb")
    pq.write_table(pa.table({"text": pa.StringArray.from_buffers(2, offsets, data)}), tmp_path / "a.parquet")
    assert rows_of(tmp_path / "a.parquet") == [Unreadable(1, "1", "column 'text' is not valid Unicode"), Row(2, "2", "b")]


def test_ids_of_other_types(tmp_path: Path) -> None:
    table = pa.table({"id": pa.array([0, 86400], pa.timestamp("s")), "text": ["a", "b"]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert [row.id for row in rows_of(tmp_path / "a.parquet")] == ["1970-01-01 00:00:00", "1970-01-02 00:00:00"]
    uuids = pa.array([bytes(range(16)), None], pa.binary(16))
    pq.write_table(pa.table({"id": uuids, "text": ["a", "b"]}), tmp_path / "u.parquet")
    assert [row.id for row in rows_of(tmp_path / "u.parquet")] == ["000102030405060708090a0b0c0d0e0f", None]
    pq.write_table(pa.table({"id": [[1], None], "text": ["a", "b"]}), tmp_path / "b.parquet")
    assert rows_of(tmp_path / "b.parquet") == [Unreadable(1, None, "column 'id' is a list, not an id"), Row(2, None, "b")]


def test_starts_after_any_row_across_row_groups(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [str(i) for i in range(10)]}), tmp_path / "a.parquet", row_group_size=3)
    for start in range(11):
        assert rows_of(tmp_path / "a.parquet", start) == [Row(i + 1, str(i + 1), str(i)) for i in range(start, 10)]


def test_the_total_is_known(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"] * 10}), tmp_path / "a.parquet")
    assert open_source(tmp_path / "a.parquet", ReadOptions()).total == 10


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(InputError, match="not a Parquet file"):
        rows_of(tmp_path / "a.parquet")
    pq.write_table(pa.table({"n": [1], "m": ["x"]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match="column 'n' holds int64, not text"):
        rows_of(tmp_path / "b.parquet", text_column="n")


def test_a_damaged_page_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"text {i}" for i in range(5000)]}), path, compression="zstd", use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[100:2000] = bytes(1900)
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        rows_of(path)
