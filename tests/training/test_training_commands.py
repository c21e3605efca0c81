"""The command line of the training module, from records to a measured bundle, as the README walks through it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_training_run import folders, recipe
from typer.testing import CliRunner, Result

from nlp_service.pipeline import Pipeline
from training.__main__ import app
from training.data import Folders

__all__ = ["folders"]  # a fixture


def invoke(*words: Any) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None, result.output
    return result


@pytest.fixture
def records(folders: Folders) -> Path:
    """The invented records with a development split, and one text that stands twice but for a word."""
    path = folders.data / "ours/a.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    words = "hotel room clean dirty order refund never came late kind wrong thanks".split()
    for i, row in enumerate(rows[:12]):
        row["split"] = "dev"
        row["text"] = f"{row['text']} {' '.join(words[:i])}"  # of unlike lengths and words
    rows.append({**rows[13], "id": "twin", "text": rows[13]["text"] + " now"})
    rows[12]["text"] = f"<mi> {rows[12]['text']}"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_from_records_to_a_measured_bundle(folders: Folders, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe(folders).model_dump(mode="json")))
    trained = invoke("train", "recipe.yaml", "--run", "runs/a", "--data", folders.data, "--set", "optimisation.epochs=9")
    assert ", score 0." in trained.output
    made = invoke("bundle", "--run", "runs/a", "--out", "models/a", "--data", folders.data)
    assert "macro F1" in made.output
    assert Pipeline.load(tmp_path / "models/a").analyze([]) == []

    measured = invoke("evaluate", "--model", "models/a", "--data", records, "--json", "report.json", "--page", "report.html")
    report = json.loads(Path("report.json").read_text())
    assert report["groups"]["all"]["records"] == 12
    assert {"emotions", "touchpoints", "sentiment"} <= report["confusions"].keys()
    page = Path("report.html").read_text()
    assert page.count("<svg") == 8  # a reliability diagram for each head and language
    assert "hotel" not in page  # ids, never words
    assert "<script" not in page
    row = next(line for line in measured.output.splitlines() if line.startswith("| all |"))
    emotions = re.findall(r"\d\.\d{3}", row)[0]
    assert f"<td>{emotions} " in page  # the table and the page tell the same

    side_by_side = invoke("compare", "models/a", "models/a", "--data", records, "--cards")
    assert side_by_side.output.count("100.0%") >= 3  # of itself, whatever the time
    assert side_by_side.output.strip() in Path("models/a/README.md").read_text()
    before = Path("models/a/model.safetensors").read_bytes()
    invoke("recalibrate", "--model", "models/a", "--data", folders.data)
    assert Path("models/a/model.safetensors").read_bytes() == before


def test_the_data_sheet_counts_every_record_and_names_the_copies(records: Path, tmp_path: Path) -> None:
    page = tmp_path / "sheet.html"
    told = invoke("sheet", records, "--page", page)
    assert told.output.startswith("41 records, ")
    html = page.read_text()
    assert "twin" in html
    assert "<script" not in html
    assert "<mi>" not in html  # a text cannot become markup


def test_faulty_records_are_told_line_by_line(records: Path) -> None:
    assert "staff" in invoke("check", records).output
    rows = records.read_text().splitlines()
    records.write_text("\n".join([rows[0], rows[1].replace("satisfaction", "joyfulness"), *rows[2:], "{"]))
    result = CliRunner().invoke(app, ["check", str(records)])
    assert result.exit_code == 1
    assert re.search(r"a\.jsonl:2\b.*joyfulness", result.output)
    assert re.search(r"a\.jsonl:42\b", result.output)


def test_what_is_asked_for_wrongly_is_told(tmp_path: Path, records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text("name: x\nsources: []\noptimisation: {epochs: 0, speed: 3}\n")
    for words, says in (
        (["train", "r.yaml", "--run", "runs/a"], "speed"),
        (["train", "r.yaml", "--run", "runs/a", "--set", "epochs"], "not KEY=VALUE"),
        (["evaluate", "--model", tmp_path, "--data", records], "manifest"),
    ):
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code != 0
        assert says in result.output + str(result.exception)
