import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nlp_service.core.errors import InputError
from nlp_service.core.taxonomy import Taxonomy
from training.__main__ import app
from training.annotation.agreement import Agreement, agreement, agreement_table
from training.annotation.selection import parse_wanted
from training.annotation.settle import apply, differ, reading_of, settled
from training.annotation.sheets import Item, Reading, clauses_of, label_fields, parse_reading, sheet_clauses, write_sheet

TAXONOMY = Taxonomy.default()
TEXT = "El camarero fue amabilísimo. La cuenta, 80 euros. Esperaba otra cosa."
LINE = "t1|mixed|advocacy|1:staff/satisfaction 2:price 3:price/disappointment 3:general/sadness"


def read(line: str, clauses: int = 3) -> Reading:
    return parse_reading(line, {"t1": clauses}, TAXONOMY)


def record(**changes: Any) -> dict[str, Any]:
    return {
        "id": "t1", "lang": "es", "split": "train", "text": TEXT, "emotions": ["satisfaction", "disappointment"],
        "touchpoints": ["staff", "price"], "sentiment": "mixed", "signals": [],
        "pairs": [
            {"touchpoint": "staff", "emotion": "satisfaction", "quote": "amabilísimo"},
            {"touchpoint": "price", "emotion": "disappointment", "quote": "Esperaba otra"},
        ],
        "segments": [
            {"quote": "El camarero fue amabilísimo.", "touchpoints": ["staff"], "emotions": ["satisfaction"]},
            {"quote": "La cuenta, 80 euros.", "touchpoints": ["price"], "emotions": []},
            {"quote": "Esperaba otra cosa.", "touchpoints": [], "emotions": ["disappointment"]},
        ],
        **changes,
    }  # fmt: skip


def test_a_sheet_numbers_the_clauses_and_an_answer_line_means_what_it_says(tmp_path: Path) -> None:
    write_sheet(tmp_path / "s.txt", [("t1", "es", TEXT), ("t2", "en", "1 star.\nAwful\tfood")])
    assert (tmp_path / "s.txt").read_text().splitlines()[:4] == [
        "### t1 es", "1 El camarero fue amabilísimo.", "2 La cuenta, 80 euros.", "3 Esperaba otra cosa.",
    ]  # fmt: skip
    assert sheet_clauses(tmp_path / "s.txt") == {"t1": 3, "t2": len(clauses_of("1 star.\nAwful\tfood", "en"))}
    reading = read(LINE)
    assert reading.emotions == ["satisfaction", "disappointment", "sadness"]
    assert reading.touchpoints == ["staff", "price"]
    assert reading.signals == ("advocacy",)
    assert reading.pairs == {("staff", "satisfaction"), ("price", "disappointment"), ("general", "sadness")}
    assert reading.line() == LINE


def test_label_fields_point_at_the_clauses() -> None:
    fields = label_fields(read(LINE), clauses_of(TEXT, "es"))
    assert [(p["touchpoint"], p["emotion"], TEXT[p["start"] : p["end"]]) for p in fields["pairs"]] == [
        ("staff", "satisfaction", "El camarero fue amabilísimo."),
        ("price", "disappointment", "Esperaba otra cosa."),
        ("general", "sadness", "Esperaba otra cosa."),
    ]
    assert [(s["touchpoints"], s["emotions"]) for s in fields["segments"]] == [
        (["staff"], ["satisfaction"]), (["price"], []), (["price"], ["disappointment", "sadness"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("t1|mixed|", "3 fields"),
        ("t9|mixed||", "'t9' is in none of the sheets"),
        ("t1|meh||", "sentiment 'meh' is unknown"),
        ("t1|mixed|rage|", "signal 'rage' is unknown"),
        ("t1|mixed||4:price", "has clauses 1 to 3"),
        ("t1|mixed||1:cost/joy", "'1:cost/joy': unknown touchpoint"),
        ("t1|mixed||1:price/bliss", "unknown emotion"),
        ("t1|mixed||1:general", "an emotion is missing"),
        ("t1|mixed||price/joy", "is not CLAUSE:TOUCHPOINT/EMOTION"),
    ],
)
def test_a_wrong_answer_line_is_refused_with_what_is_wrong(line: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault.replace("(", r"\(")):
        read(line)


def test_the_labels_of_a_record_are_a_reading() -> None:
    reading = reading_of(record())
    assert reading.items == (Item(1, "staff", "satisfaction"), Item(2, "price", None), Item(3, "price", "disappointment"))
    assert reading.labels == {"satisfaction", "disappointment", "staff", "price", "mixed"}


def test_readings_that_say_the_same_stand_and_others_need_a_third() -> None:
    first = reading_of(record())
    same = read("t1|mixed||1:staff/satisfaction 2:price/disappointment")
    other = read("t1|negative||1:staff/satisfaction 2:price/disappointment")
    assert not differ(first, same)
    assert differ(first, other)
    assert settled(first, same, None).pairs == first.pairs
    with pytest.raises(InputError, match="no third"):
        settled(first, other, None)
    assert settled(first, other, other) is other


def test_settled_labels_are_written_into_the_record_and_its_quotes_kept() -> None:
    out = apply(record(), read("t1|negative|churn|2:price/disappointment 3:price/disappointment 3:general/sadness"))
    assert (out["emotions"], out["touchpoints"], out["sentiment"], out["signals"]) == (
        ["disappointment", "sadness"], ["price"], "negative", ["churn"],
    )  # fmt: skip
    assert out["pairs"] == [
        {"touchpoint": "price", "emotion": "disappointment", "quote": "Esperaba otra"},
        {"touchpoint": "general", "emotion": "sadness", "quote": "Esperaba otra cosa."},
    ]
    assert out["segments"] == [
        {"quote": "La cuenta, 80 euros.", "touchpoints": ["price"], "emotions": ["disappointment"]},
        {"quote": "Esperaba otra cosa.", "touchpoints": ["price"], "emotions": ["disappointment", "sadness"]},
    ]


def test_agreement_by_hand() -> None:
    counts = Agreement(both=3, one=2, neither=5)
    assert counts.f1 == pytest.approx(0.75)
    # observed 0.8; both use the label for 0.4 of the texts on average: chance 0.16 + 0.36
    assert counts.kappa == pytest.approx((0.8 - 0.52) / 0.48)
    assert Agreement(neither=4).f1 == 1.0
    first = {"t1": read("t1|mixed||1:staff/joy"), "only": read("t1|mixed||")}
    second = {"t1": read("t1|positive||1:staff/joy 2:price")}
    found = agreement(first, second, {"t1": "es"}, TAXONOMY)
    assert set(found) == {"all", "es"}
    assert (found["es"]["joy"].both, found["es"]["price"].one, found["es"]["mixed"].one) == (1, 1, 1)
    assert "| joy | 1.000 | " in agreement_table(found, TAXONOMY)


def test_rows_wanted_are_spelt_out() -> None:
    assert parse_wanted(["mabsa/es=40", "cfpb/en=2"]) == {("mabsa", "es"): 40, ("cfpb", "en"): 2}
    with pytest.raises(InputError, match="CORPUS/LANGUAGE=COUNT"):
        parse_wanted(["mabsa=3"])


def test_from_records_to_settled_labels_by_the_commands(tmp_path: Path) -> None:
    runner, data, readings = CliRunner(), tmp_path / "r.jsonl", tmp_path / "readings"
    readings.mkdir()
    rows = [record(), record(id="t2"), record(id="t3")]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def command(*words: str) -> str:
        result = runner.invoke(app, ["annotate", *words])
        assert result.exit_code == 0, result.output
        return result.output

    command("sheets", str(data), "--out", str(tmp_path / "sheets"))
    sheet = tmp_path / "sheets/000.txt"
    assert "amabilísimo." in sheet.read_text()
    assert "satisfaction" not in sheet.read_text()
    answers = readings / "second.txt"
    answers.write_text("t1|mixed||1:staff/satisfaction 3:price/disappointment\nt2|negative||3:price/anger\n")
    unread = runner.invoke(app, ["annotate", "check", "--sheet", str(sheet), str(answers)])
    assert unread.exit_code == 1
    assert "1 texts are not read: t3" in unread.output

    assert "2 of 3 records read twice, 1 to settle" in command(
        "disputes", str(data), "--out", str(tmp_path / "d"), "--readings", str(readings)
    )
    dispute = (tmp_path / "d/000.txt").read_text()
    assert "### t2" in dispute
    assert "t1" not in dispute
    unsettled = runner.invoke(app, ["annotate", "settle", str(data), "--readings", str(readings)])
    assert unsettled.exit_code == 1
    assert "t2: the two readings differ" in unsettled.output
    (readings / "third.txt").write_text("t2|negative||2:price 3:price/anger\n")
    kept = (readings / "first.txt").read_text()
    some = tmp_path / "some.jsonl"
    some.write_text(json.dumps(record(id="t0")) + "\n")
    command("disputes", str(some), "--out", str(tmp_path / "d0"), "--readings", str(readings))
    assert (readings / "first.txt").read_text() == reading_of(record(id="t0")).line() + "\n" + kept  # nothing of the others is lost
    assert "2 records settled" in command("settle", str(data), "--readings", str(readings))
    after = [json.loads(line) for line in data.read_text().splitlines()]
    assert [row["emotions"] for row in after] == [["satisfaction", "disappointment"], ["anger"], ["satisfaction", "disappointment"]]
    assert after[2] == rows[2]  # read once only: as it was
    assert "| anger |" in command("agreement", str(data), "--readings", str(readings))
    # the first labels stay on record, though the records now hold the settled ones
    assert "t2|mixed||" in (readings / "first.txt").read_text()
