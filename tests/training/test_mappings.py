import gzip
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from nlp_service.core.errors import InputError
from nlp_service.core.taxonomy import Taxonomy
from training.corpora import Mapping, corpus_texts, load_mapping, read_corpus
from training.records import Record

TAXONOMY = Taxonomy.default()
NAMES = sorted(path.name.removesuffix(".yaml") for path in files("training").joinpath("mappings").iterdir())
SENTIMENTS = {"negative", "neutral", "positive", "mixed"}


def write(folder: Path, name: str, *rows: dict[str, Any]) -> Path:
    """A corpus of invented rows."""
    base = {"text": "Texto inventado para esta prueba.", "lang": "en", "split": "train"}
    lines = [json.dumps({"id": f"{name}-{i}", **base, **row}) for i, row in enumerate(rows)]
    (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return folder


def fold(folder: Path, name: str, **row: Any) -> Record:
    [record] = read_corpus(write(folder, name, row), name, TAXONOMY)
    return record


def absent(record: Record) -> set[str]:
    return set(record.known - record.positives)


def test_every_corpus_has_its_table() -> None:
    assert NAMES == ["banking77", "bitext", "brighter", "cfpb", "clinc", "goemotions", "mabsa", "mams", "nlupp", "xed"]


@pytest.mark.parametrize("name", NAMES)
def test_every_row_of_a_table_has_a_reason_and_puts_labels_in_their_head(name: str) -> None:
    mapping = load_mapping(name)
    assert mapping.source == name
    assert mapping.licence
    assert mapping.attribution
    for native, row in mapping.labels.items():
        assert len(row.reason) > 10, native
        for head in ("emotions", "touchpoints", "signals"):
            assert set(getattr(row, head)) <= {label.id for label in TAXONOMY.labels(head)}, native  # type: ignore[arg-type]
        assert not row.positives & set(row.unknown), native
        assert not (row.drop and (row.positives or row.sentiment or row.unknown)), native


@pytest.mark.parametrize("name", NAMES)
def test_known_labels_stand_in_their_head(name: str) -> None:
    mapping = load_mapping(name)
    for known in (mapping.known, *mapping.known_by_domain.values()):
        for head in ("emotions", "touchpoints", "signals"):
            named = getattr(known, head)
            assert named == "all" or set(named) <= {label.id for label in TAXONOMY.labels(head)}  # type: ignore[arg-type]


def test_an_emotion_set_says_nothing_of_touchpoints(tmp_path: Path) -> None:
    record = fold(tmp_path, "goemotions", labels=["anger"])
    assert record.positives == {"anger"}
    assert {"joy", "sadness", "gratitude"} <= absent(record)
    assert not record.known & {"frustration", "price", "delivery", "churn", *SENTIMENTS}
    assert record.pairs is None


def test_a_positive_of_one_label_wins_over_the_doubt_of_another(tmp_path: Path) -> None:
    record = fold(tmp_path, "goemotions", labels=["sadness", "optimism", "joy"])
    assert {"sadness", "joy"} <= record.positives  # `optimism` alone would leave joy unknown
    assert "satisfaction" not in record.known


def test_a_touchpoint_set_says_nothing_of_emotions(tmp_path: Path) -> None:
    record = fold(tmp_path, "banking77", labels=["age_limit"])
    assert record.positives == {"account_access", "neutral"}
    assert {"delivery", "churn", "negative", "mixed"} <= absent(record)
    assert not record.known & {"product_range", *(e.id for e in TAXONOMY.emotions)}


def test_an_unknown_sentiment_is_unknown_in_every_class(tmp_path: Path) -> None:
    record = fold(tmp_path, "banking77", labels=["activate_my_card"])
    assert record.positives == {"account_access"}
    assert not record.known & SENTIMENTS


def test_intents(tmp_path: Path) -> None:
    record = fold(tmp_path, "bitext", labels=["check_cancellation_fee"])
    assert record.positives == {"cancellation", "billing", "neutral"}
    assert "worry" in absent(record)
    assert not record.known & {"price", "anger", "frustration", "disappointment"}


def test_assistant_commands_are_negatives_of_everything(tmp_path: Path) -> None:
    record = fold(tmp_path, "clinc", labels=["translate"])
    assert record.positives == {"neutral"}
    assert record.known == set(TAXONOMY.label_ids)


def test_a_label_that_no_annotator_was_asked_for_is_unknown(tmp_path: Path) -> None:
    asked = fold(tmp_path, "brighter", labels=["anger"], annotated=["anger", "disgust", "fear", "joy", "sadness", "surprise"])
    assert asked.positives == {"anger"}
    assert {"joy", "worry", "sadness"} <= absent(asked)
    fewer = fold(tmp_path, "brighter", labels=["anger"], annotated=["anger", "disgust", "sadness"])
    assert fewer.positives == {"anger"}
    assert not fewer.known & {"joy", "worry"}
    assert "sadness" in absent(fewer)


def test_rows_with_and_without_annotated_in_one_file(tmp_path: Path) -> None:
    write(tmp_path, "brighter", {"labels": ["anger"], "annotated": ["anger"]}, {"labels": ["anger"]})
    one, other = read_corpus(tmp_path, "brighter", TAXONOMY)
    assert "worry" not in one.known
    assert "worry" in absent(other)


def test_xed_gives_only_negatives(tmp_path: Path) -> None:
    record = fold(tmp_path, "xed", labels=["fear"])
    assert record.positives == frozenset()
    assert {"joy", "gratitude", "satisfaction"} <= absent(record)
    assert not record.known & {"worry", "sadness", "price"}


def test_dropped_rows_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "xed", {"labels": ["anticipation"]}, {"labels": ["joy", "anticipation"]}, {"labels": ["joy"]})
    assert [r.id for r in read_corpus(tmp_path, "xed", TAXONOMY)] == ["xed-2"]


def test_a_domain_has_its_own_known_labels(tmp_path: Path) -> None:
    hotel = fold(tmp_path, "nlupp", labels=["booking"], domain="hotels")
    bank = fold(tmp_path, "nlupp", labels=["booking"], domain="banking")
    assert hotel.positives == bank.positives == {"checkout_payment", "neutral"}
    assert "returns_refunds" in absent(hotel) & absent(bank)
    other = fold(tmp_path, "nlupp", labels=["card"], domain="hotels")
    assert "checkout_payment" not in other.known
    assert "urgency" not in hotel.known | bank.known


ASPECTS = {
    ("positive",): "positive",
    ("negative", "neutral"): "negative",
    ("neutral",): "neutral",
    ("positive", "negative"): "mixed",
    ("conflict",): "mixed",
    ("positive", "conflict"): "mixed",
}


@pytest.mark.parametrize("polarities", ASPECTS)
@pytest.mark.parametrize("name", ["mams", "mabsa"])
def test_polarities_make_the_sentiment(tmp_path: Path, name: str, polarities: tuple[str, ...]) -> None:
    native = {"mams": "ambience", "mabsa": "location general"}[name]
    aspects = [["patio", native, polarity] for polarity in polarities]
    record = fold(tmp_path, name, labels=[native], aspects=aspects)
    assert record.positives == {"premises", ASPECTS[polarities]}
    assert record.known >= SENTIMENTS
    assert "billing" in absent(record)
    assert not record.known & {"joy", "anger"}


def test_an_aspect_row_without_aspects_is_left_out_and_a_label_row_is_not(tmp_path: Path) -> None:
    assert list(read_corpus(write(tmp_path, "mams", {"labels": [], "aspects": []}), "mams", TAXONOMY)) == []
    [record] = read_corpus(write(tmp_path, "goemotions", {"labels": []}), "goemotions", TAXONOMY)
    assert record.positives == frozenset()


def test_only_training_rows_are_read(tmp_path: Path) -> None:
    write(tmp_path, "clinc", *({"labels": ["timer"], "split": split} for split in ("dev", "train", "test", "unlabelled")))
    assert [(r.id, r.split) for r in read_corpus(tmp_path, "clinc", TAXONOMY)] == [("clinc-1", "train")]
    assert set(corpus_texts(tmp_path)) == {f"clinc-{i}" for i in range(4)}


def test_a_native_label_without_a_row_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"clinc-0.*dance"):
        fold(tmp_path, "clinc", labels=["timer", "dance"])


def test_a_missing_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"xed\.jsonl\.gz"):
        list(read_corpus(tmp_path, "xed", TAXONOMY))


def test_a_corpus_without_a_table_is_named() -> None:
    with pytest.raises(InputError, match="mapping of tweets"):
        load_mapping("tweets")


TABLE: dict[str, Any] = {
    "source": "s", "licence": "l", "attribution": "a", "labels_from": "labels", "known": {}, "labels": {"x": {"reason": "because"}},
}  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": {"x": {"emotions": ["rage"], "reason": "r"}}},
        {"labels": {"x": {"unknown": ["rage"], "reason": "r"}}},
        {"labels": {"x": {}}},
        {"labels": {"x": {"reason": "r", "colour": 1}}},
        {"labels": {"x": {"reason": "r", "sentiment": "bad"}}},
        {"known": {"touchpoints": ["parking"]}},
        {"known_by_domain": {"hotels": {"signals": ["leave"]}}},
        {"labels_from": "magic"},
    ],
)
def test_a_table_that_breaks_a_rule_is_refused(wrong: dict[str, Any]) -> None:
    Mapping.model_validate(TABLE)
    with pytest.raises(ValueError, match="validation error"):
        Mapping.model_validate({**TABLE, **wrong})
