import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from nlp_service.core.errors import InputError
from nlp_service.core.taxonomy import Taxonomy
from training.records import LabelledSpan, Record, faults_of, find, normalised, read_jsonl, read_records, read_references

TAXONOMY = Taxonomy.default()
TEXT = "El repartidor llegó tarde, pero fue muy amable"


def row(**changes: Any) -> dict[str, Any]:
    return {
        "id": "r1", "text": TEXT, "lang": "es", "split": "train",
        "emotions": ["frustration", "satisfaction"], "touchpoints": ["delivery", "staff"], "sentiment": "mixed", "signals": [],
        "pairs": [
            {"touchpoint": "delivery", "emotion": "frustration", "quote": "llegó tarde"},
            {"touchpoint": "staff", "emotion": "satisfaction", "quote": "muy amable"},
        ],
        **changes,
    }  # fmt: skip


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in rows), "utf-8")
    return path


def read(tmp_path: Path, *rows: Any) -> list[Record]:
    return list(read_records(write(tmp_path / "a.jsonl", *rows), TAXONOMY, "ours"))


def test_a_record(tmp_path: Path) -> None:
    [record] = read(tmp_path, row())
    assert (record.id, record.text, record.lang, record.source, record.split) == ("r1", TEXT, "es", "ours", "train")
    assert record.positives == {"frustration", "satisfaction", "delivery", "staff", "mixed"}
    assert record.known == set(TAXONOMY.label_ids)
    assert record.pairs == {("delivery", "frustration"), ("staff", "satisfaction")}
    assert [(TEXT[s.start : s.end], s.labels) for s in record.spans] == [
        ("llegó tarde", {"delivery", "frustration"}), ("muy amable", {"staff", "satisfaction"}),
    ]  # fmt: skip
    assert record.exhaustive == frozenset()


def test_a_general_pair_is_no_label(tmp_path: Path) -> None:
    changes = {"emotions": ["joy"], "touchpoints": [], "pairs": [{"touchpoint": "general", "emotion": "joy", "quote": "amable"}]}
    [record] = read(tmp_path, row(**changes))
    assert "general" not in record.positives
    assert record.spans == (LabelledSpan(TEXT.index("amable"), len(TEXT), frozenset({"joy"})),)


def test_labelled_segments_are_exhaustive(tmp_path: Path) -> None:
    segments = [
        {"quote": "El repartidor llegó tarde,", "emotions": ["frustration"], "touchpoints": ["delivery"]},
        {"quote": "pero fue muy amable", "emotions": ["satisfaction"], "touchpoints": ["staff"]},
    ]
    [record] = read(tmp_path, row(segments=segments))
    assert record.exhaustive == {"emotions", "touchpoints"}
    assert len(record.spans) == 4


def test_words_that_stand_twice_are_those_behind_the_segment_before(tmp_path: Path) -> None:
    text = "Mal. El baño, limpio. Mal."
    segments = [
        {"quote": "El baño, limpio.", "emotions": [], "touchpoints": ["premises"]},
        {"quote": "Mal.", "emotions": ["frustration"], "touchpoints": []},
    ]
    pairs = [{"touchpoint": "general", "emotion": "frustration", "quote": "Mal"}]
    [record] = read(tmp_path, row(text=text, emotions=["frustration"], touchpoints=["premises"], pairs=pairs, segments=segments))
    assert [span.start for span in record.spans] == [0, 5, 22]


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "emotion": ({"emotions": ["rage", "frustration", "satisfaction"]}, r"emotions: unknown \['rage'\]"),
    "touchpoint": ({"touchpoints": ["delivery", "staff", "parking"]}, r"touchpoints: unknown \['parking'\]"),
    "signal": ({"signals": ["leave"]}, r"signals: unknown \['leave'\]"),
    "label of another head": ({"signals": ["delivery"]}, r"signals: unknown \['delivery'\]"),
    "sentiment": ({"sentiment": "bad"}, "sentiment: unknown 'bad'"),
    "split": ({"split": "test"}, "split: 'test'"),
    "touchpoint of a pair": ({"touchpoints": ["delivery"]}, "touchpoint 'staff' is not among touchpoints"),
    "emotion without a pair": ({"emotions": ["frustration", "satisfaction", "joy"]}, "emotions are not those of the record"),
    "pair without the emotion": ({"emotions": ["frustration"]}, "emotions are not those of the record"),
    "quote": (
        {"emotions": ["joy"], "touchpoints": [], "pairs": [{"touchpoint": "general", "emotion": "joy", "quote": "Muy amable"}]},
        "quote is not in the text: 'Muy amable'",
    ),
    "empty quote": (
        {"emotions": ["joy"], "touchpoints": [], "pairs": [{"touchpoint": "general", "emotion": "joy", "quote": ""}]},
        "quote is not in the text: ''",
    ),
    "segments tell less": (
        {"segments": [{"quote": "llegó tarde", "emotions": ["frustration"], "touchpoints": ["delivery"]}]},
        r"segments: \['satisfaction', 'staff'\]",
    ),
    "language": ({"lang": "fr"}, "lang: 'fr'"),
    "no list": ({"emotions": None}, "emotions: Input should be a valid list"),
    "a pair that is none": ({"pairs": ["delivery"]}, "pairs.0: Input should be"),
    "a quote that is none": ({"pairs": [{"touchpoint": "staff", "emotion": "joy", "quote": 3}]}, "pairs.0.quote: Input should be"),
    "no text": ({"text": None}, "text: missing or not a string"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_file_and_line(tmp_path: Path, fault: str) -> None:
    changes, named = FAULTS[fault]
    with pytest.raises(InputError, match=rf"a\.jsonl:2.*{named}"):
        read(tmp_path, row(), row(**changes))


@pytest.mark.parametrize("key", ["id", "lang", "split", "emotions", "touchpoints", "sentiment", "signals", "pairs", "text"])
def test_a_missing_field_is_named(tmp_path: Path, key: str) -> None:
    faulty = row()
    del faulty[key]
    with pytest.raises(InputError, match=rf"a\.jsonl:1.*{key}: missing"):
        read(tmp_path, faulty)


def test_all_faults_of_a_line_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, row(emotions=["rage"], sentiment="bad", split="x"))
    for named in ("rage", "bad", "split", "pairs"):
        assert named in str(caught.value)


@pytest.mark.parametrize(("line", "named"), [("{no json\n", "not JSON"), ("[1]\n", "not an object"), ('"text"\n', "not an object")])
def test_a_line_that_is_no_record(tmp_path: Path, line: str, named: str) -> None:
    with pytest.raises(InputError, match=rf"a\.jsonl:2: {named}"):
        read(tmp_path, row(), line)


def test_what_stands_twice_in_any_of_the_files_is_a_fault(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a.jsonl", row()), write(tmp_path / "b.jsonl", row(id="r2"), row(text=TEXT + " otra vez", id="r1"))
    assert [fault.rpartition("/")[2] for fault in faults_of([one], TAXONOMY)] == []
    by_text, by_id = faults_of([one, other], TAXONOMY)
    assert "b.jsonl:1 r2: text is that of" in by_text
    assert "b.jsonl:2 r1: id is that of" in by_id


def test_gzip_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(row()).encode()))
    assert [number for number, _ in read_jsonl(path)] == [1]


def reference(**changes: Any) -> dict[str, Any]:
    out = row(pairs=[{"touchpoint": "delivery", "emotion": "frustration", "start": 14, "end": 25}], emotions=["frustration"], **changes)
    del out["text"]
    return out


def test_labels_by_reference(tmp_path: Path) -> None:
    path = write(tmp_path / "seed.jsonl", reference())
    [record] = read_references(path, {"r1": TEXT, "r2": "otro"}, TAXONOMY, "seed")
    assert record.text == TEXT
    assert [TEXT[s.start : s.end] for s in record.spans] == ["llegó tarde"]
    assert record.pairs == {("delivery", "frustration")}


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (5, 5), (9, 4), (0, len(TEXT) + 1)])
def test_offsets_outside_the_text_are_a_fault(tmp_path: Path, start: int, end: int) -> None:
    pairs = [{"touchpoint": "delivery", "emotion": "frustration", "start": start, "end": end}]
    path = write(tmp_path / "seed.jsonl", {**reference(), "pairs": pairs})
    with pytest.raises(InputError, match=rf"seed\.jsonl:1 r1: .*offsets {start}-{end}"):
        list(read_references(path, {"r1": TEXT}, TAXONOMY, "seed"))


def test_a_reference_to_no_row(tmp_path: Path) -> None:
    path = write(tmp_path / "seed.jsonl", reference(), reference(id="r9"))
    with pytest.raises(InputError, match=r"seed\.jsonl:2: id 'r9' is in none of the corpora"):
        list(read_references(path, {"r1": TEXT}, TAXONOMY, "seed"))


def test_find(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "c.txt"):
        (tmp_path / name).touch()
    assert [p.name for p in find(tmp_path, ["*.jsonl"])] == ["a.jsonl", "b.jsonl"]
    with pytest.raises(InputError, match="nothing"):
        find(tmp_path, ["*.jsonl", "nothing*.jsonl"])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("¡Qué  MAL servicio!", "que mal servicio", True),
        ("El pedido\nno llegó…", "el pedido no llego", True),
        ("Straße", "STRASSE", True),
        ("ﬁn de la ﬁla", "fin de la fila", True),
        ("naïve_café", "naive cafe", True),
        ("İstanbul", "istanbul", True),
        ("llegó a las 10", "llegó a las 11", False),
        ("muy bien", "muy mal", False),
    ],
)
def test_what_two_copies_of_a_text_share(one: str, other: str, same: bool) -> None:
    assert (normalised(one) == normalised(other)) is same
