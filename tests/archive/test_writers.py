import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlp_service.archive.parquet import ParquetWriter
from nlp_service.archive.rows import Unreadable
from nlp_service.archive.writers import CsvWriter, JsonlWriter, Scored, Writer
from nlp_service.core.schema import Analysis, Feedback
from nlp_service.pipeline import Pipeline

TEXTS = [
    "La entrega me dio frustración, pero el precio, alegría.",
    "",
    "Das ist für mich und meine Familie nicht gut gewesen",
    "There is a churn risk with this delivery",
]


def scored(pipeline: Pipeline, *, scores: bool = False) -> list[Scored]:
    analyses = pipeline.analyze([Feedback(id=f"ñ{i}", text=text) for i, text in enumerate(TEXTS)], scores=scores)
    rows = [Scored(i + 1, analysis) for i, analysis in enumerate(analyses)]
    return [*rows, Scored(5, Unreadable(5, None, "not a JSON object")), Scored(6, Unreadable(6, "x", "column 'text' is null"))]


def test_jsonl_lines_are_the_analyses(pipeline: Pipeline) -> None:
    rows = scored(pipeline, scores=True)
    lines = JsonlWriter().chunk(rows).decode().splitlines()
    assert [Analysis.model_validate_json(line) for line in lines[:4]] == [row.outcome for row in rows[:4]]
    assert lines[0] == rows[0].outcome.model_dump_json()  # type: ignore[union-attr]
    assert json.loads(lines[4]) == {"id": None, "row": 5, "error": "not a JSON object"}
    assert json.loads(lines[5]) == {"id": "x", "row": 6, "error": "column 'text' is null"}


def table(writer: Writer, rows: list[Scored]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((writer.header() + writer.chunk(rows)).decode())))


def test_csv_is_flat(pipeline: Pipeline) -> None:
    rows = table(CsvWriter(pipeline.taxonomy, scores=False), scored(pipeline))
    assert [row["row"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    first = rows[0]
    assert (first["id"], first["status"], first["language"], first["sentiment"]) == ("ñ0", "ok", "es", "neutral")
    assert (first["emotions"], first["emotion_probabilities"]) == ("frustration|joy", "0.982|0.982")
    assert set(first["touchpoints"].split("|")) == {"price", "delivery"}
    pairs = first["pairs"].split("|")
    assert {"delivery:frustration", "price:joy"} <= set(pairs)
    assert len(first["pair_probabilities"].split("|")) == len(pairs)
    assert [row["status"] for row in rows[1:3]] == ["no_text", "language_unsupported"]
    assert rows[3]["signals"] == "churn"
    assert (rows[4]["id"], rows[4]["status"], rows[4]["error"]) == ("", "", "not a JSON object")
    assert first["model_version"] == "0"
    assert first["error"] == ""


def test_csv_has_a_column_for_each_score(pipeline: Pipeline) -> None:
    rows = table(CsvWriter(pipeline.taxonomy, scores=True), scored(pipeline, scores=True))
    assert rows[0]["score_frustration"] == "0.982"
    assert [name for name in rows[0] if name.startswith("score_")] == [f"score_{label}" for label in pipeline.taxonomy.label_ids]
    assert rows[1]["score_frustration"] == rows[4]["score_frustration"] == ""
    assert all(None not in row and None not in row.values() for row in rows)


@pytest.mark.parametrize("scores", [False, True])
def test_parquet_holds_what_json_holds(pipeline: Pipeline, tmp_path: Path, scores: bool) -> None:
    rows, writer = scored(pipeline, scores=scores), ParquetWriter(pipeline.taxonomy, scores=scores)
    part = tmp_path / "o.parquet.part"
    part.write_bytes(writer.header() + writer.chunk(rows[:2]) + writer.chunk(rows[2:]))
    writer.finish(part, tmp_path / "o.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["o.parquet"]
    assert pq.ParquetFile(tmp_path / "o.parquet").metadata.row_group(0).column(0).compression == "ZSTD"
    read = pq.read_table(tmp_path / "o.parquet")
    back = read.to_pylist()
    assert [row["row"] for row in back] == [1, 2, 3, 4, 5, 6]
    for row, before in zip(back[:4], rows, strict=False):
        assert row.pop("row")
        assert row.pop("error") is None
        if row.get("scores", 0) is None:
            del row["scores"]
        assert Analysis.model_validate(row) == before.outcome
    assert [(row["id"], row["error"], row["status"]) for row in back[4:]] == [
        (None, "not a JSON object", None),
        ("x", "column 'text' is null", None),
    ]
    assert read.schema.field("emotions").type.value_type.field("probability").type == pa.float64()


def test_parquet_without_rows_has_its_columns(pipeline: Pipeline, tmp_path: Path) -> None:
    writer = ParquetWriter(pipeline.taxonomy, scores=False)
    (tmp_path / "part").write_bytes(writer.header())
    writer.finish(tmp_path / "part", tmp_path / "o.parquet")
    read = pq.read_table(tmp_path / "o.parquet")
    assert (read.num_rows, read.schema.names) == (0, writer.schema.names)
