from typing import Any

import numpy as np
import pytest
from tiny_bundle import tiny_tokenizer

from nlp_service.core.taxonomy import Taxonomy
from nlp_service.model.encoding import Encoder
from nlp_service.preparation import Preparation
from training.examples import UNKNOWN, Example, collate, examples, segment_targets, text_targets
from training.records import LabelledSpan, Record

TAXONOMY = Taxonomy.default()
TEXT = "El pedido llegó tarde, pero el agente fue amable; nada más que decir."
CLAUSES = [(0, 22), (23, 49), (50, 69)]
INDEX = TAXONOMY.index
SENTIMENT = TAXONOMY.slices["sentiment"]


def record(**changes: Any) -> Record:
    values: dict[str, Any] = {
        "id": "r", "text": TEXT, "lang": "es", "source": "s", "split": "train",
        "positives": frozenset({"frustration", "delivery", "staff", "mixed"}), "known": frozenset(TAXONOMY.label_ids),
        "spans": (LabelledSpan(10, 21, frozenset({"frustration", "delivery"})),),
    }  # fmt: skip
    return Record(**{**values, **changes})


def make(one: Record, max_tokens: int = 64) -> list[Example]:
    return list(examples([one], Preparation(Encoder(tiny_tokenizer(), max_tokens)), TAXONOMY, 3, 0.4))


def column(targets: np.ndarray, label: str) -> list[int]:
    return [int(x) for x in targets[:, INDEX[label]]]


def test_text_targets() -> None:
    targets = text_targets(record(known=frozenset({"frustration", "delivery", "staff", "price"})), TAXONOMY)
    assert [int(targets[INDEX[label]]) for label in ("frustration", "price", "joy", "negative")] == [1, 0, UNKNOWN, UNKNOWN]
    assert (text_targets(record(), TAXONOMY) == 1).sum() == 4


def test_a_clause_that_a_span_touches_has_its_labels_and_the_others_are_unknown() -> None:
    targets = segment_targets(record(), CLAUSES, TAXONOMY)
    assert column(targets, "frustration") == column(targets, "delivery") == [1, UNKNOWN, UNKNOWN]
    assert column(targets, "staff") == [UNKNOWN] * 3  # in the text, but no span says where


def test_what_the_text_lacks_no_clause_has() -> None:
    targets = segment_targets(record(), CLAUSES, TAXONOMY)
    assert column(targets, "joy") == column(targets, "churn") == [0, 0, 0]


def test_what_is_unknown_of_the_text_is_unknown_of_its_clauses() -> None:
    targets = segment_targets(record(known=frozenset({"delivery"}), positives=frozenset({"delivery"}), spans=()), CLAUSES, TAXONOMY)
    assert (targets == UNKNOWN).all()


def test_exhaustive_spans_say_where_a_label_is_not() -> None:
    targets = segment_targets(record(exhaustive=frozenset({"emotions"})), CLAUSES, TAXONOMY)
    assert column(targets, "frustration") == [1, 0, 0]
    assert column(targets, "delivery") == [1, UNKNOWN, UNKNOWN]  # the touchpoints are not exhaustive


def test_a_span_over_several_clauses_labels_each() -> None:
    spans = (LabelledSpan(15, 30, frozenset({"frustration"})), LabelledSpan(22, 23, frozenset({"delivery"})))
    targets = segment_targets(record(spans=spans), CLAUSES, TAXONOMY)
    assert column(targets, "frustration") == [1, 1, UNKNOWN]
    assert column(targets, "delivery") == [UNKNOWN] * 3  # it touches only the space between two clauses


def test_a_span_without_labels_changes_nothing() -> None:
    bare = record(spans=(LabelledSpan(0, 9, frozenset()),))
    assert (segment_targets(bare, CLAUSES, TAXONOMY) == segment_targets(record(spans=()), CLAUSES, TAXONOMY)).all()


def test_a_single_clause_has_what_the_text_has() -> None:
    targets = segment_targets(record(spans=()), [(0, len(TEXT))], TAXONOMY)
    assert column(targets, "frustration") == column(targets, "staff") == [1]
    assert column(targets, "joy") == [0]


def test_sentiment_belongs_to_texts_only() -> None:
    assert (segment_targets(record(), CLAUSES, TAXONOMY)[:, SENTIMENT] == UNKNOWN).all()
    assert (segment_targets(record(), [(0, len(TEXT))], TAXONOMY)[:, SENTIMENT] == UNKNOWN).all()


def test_an_example_is_the_window_with_its_targets() -> None:
    [example] = make(record())
    assert example.targets.shape == (1 + len(example.window.segments), 40)
    assert (example.source, example.loss_weight) == (3, 0.4)
    assert (example.targets[0] == text_targets(record(), TAXONOMY)).all()
    assert column(example.targets[1:], "frustration") == [1, UNKNOWN, UNKNOWN]


def test_windows_of_a_long_text() -> None:
    filler = "".join(f"la web falla {word}. " for word in ("siempre", "mucho", "hoy", "otra vez", "de nuevo", "sin más"))
    start = len(filler)
    long = record(text=filler + "El pedido llegó tarde.", spans=(LabelledSpan(start + 10, start + 21, frozenset({"delivery"})),))
    found = make(long, 16)
    assert len(found) > 2
    assert [int(e.targets[0, INDEX["delivery"]]) for e in found] == [UNKNOWN] * (len(found) - 1) + [1]
    assert {int(e.targets[0, INDEX["joy"]]) for e in found} == {0}
    assert all((e.targets[0, SENTIMENT] == UNKNOWN).all() for e in found)


@pytest.mark.parametrize("text", ["", "😀😀", "12 34", "\u200b"])
def test_a_text_with_nothing_to_read_gives_no_example(text: str) -> None:
    assert make(record(text=text, spans=())) == []


def test_the_language_of_the_record_counts() -> None:
    """A short text that an identifier might take for another language is trained on all the same."""
    assert len(make(record(text="ok amigo", spans=()))) == 1
    assert len(make(record(text="Buonasera, tutto bene grazie mille davvero", spans=()))) == 1
    english = make(record(text="The web falla but the agent was kind", lang="en", spans=()))
    assert len(english[0].window.segments) == 2


def test_collate_pads_with_unknown() -> None:
    one, other = make(record())[0], make(record(text="El pedido", spans=()))[0]
    batch = collate([one, other], pad_id=1)
    tokens, rows = len(one.window.input_ids), len(one.window.spans)
    n = len(other.window.input_ids)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, tokens)
    assert batch["input_ids"][1, n:].eq(1).all()
    assert batch["attention_mask"].sum(1).tolist() == [tokens, n]
    assert batch["targets"].shape == (2, rows, 40)
    assert batch["targets"][1, 2:].eq(UNKNOWN).all()
    assert batch["spans"][0, 0].sum() == tokens
    assert batch["spans"][1, 1].sum() == n - 2
    assert batch["spans"][1, 2:].sum() == 0
    assert batch["loss_weight"].tolist() == pytest.approx([0.4, 0.4])
