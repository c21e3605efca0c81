import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_bundle import WORDS

from nlp_service.core.errors import BundleError
from nlp_service.core.schema import Analysis, Feedback
from nlp_service.pipeline import Pipeline

FAKE = Pipeline.load("fake")


def analyze(text: str) -> Analysis:
    return FAKE.analyze([Feedback(text=text)])[0]


@pytest.mark.parametrize(
    ("text", "status", "language"),
    [
        ("", "no_text", "unknown"),
        ("   \n\t", "no_text", "unknown"),
        ("12345 €€ 😀👍 !!!", "no_text", "unknown"),
        ("\u200b\u200e", "no_text", "unknown"),
        ("Посылка пришла с опозданием и коробка была открыта", "language_unsupported", "other"),
        ("商品が届きません。返金してください。", "language_unsupported", "other"),
        ("El pedido llegó tarde y nadie responde", "ok", "es"),
        ("The parcel arrived late and nobody answers", "ok", "en"),
    ],
)
def test_status_and_language(text: str, status: str, language: str) -> None:
    analysis = analyze(text)
    assert (analysis.status, analysis.language) == (status, language)
    assert (analysis.sentiment is None) == (status != "ok")
    assert bool(analysis.segments) == (status == "ok")
    if status != "ok":
        assert analysis.emotions == analysis.touchpoints == analysis.signals == analysis.pairs == []


def test_a_text_of_both_languages_is_mixed_and_its_clauses_say_which() -> None:
    analysis = analyze("El pedido llegó tres días tarde y la caja estaba abierta. The agent on the phone was really helpful and kind.")
    assert analysis.language == "mixed"
    assert [segment.language for segment in analysis.segments] == ["es", "en"]


def test_order_and_ids_are_those_of_the_caller() -> None:
    items = [Feedback(id="b", text="mucha frustración con la entrega"), Feedback(text=""), Feedback(id="a", text="gran alegría")]
    answers = FAKE.analyze(items)
    assert [a.id for a in answers] == ["b", None, "a"]
    assert [[e.label for e in a.emotions] for a in answers] == [["frustration"], [], ["joy"]]
    assert FAKE.analyze([]) == []


def test_a_long_text_is_read_to_its_end() -> None:
    visits = (f"Estuvimos allí un rato sin nada más que contar de la visita {number}. " for number in range(60))
    text = "".join(visits) + "Al final, qué frustración con la entrega."
    assert len(FAKE.prepare(text).windows) > 3
    analysis = analyze(text)
    assert [e.label for e in analysis.emotions] == ["frustration"]
    assert [(p.touchpoint, p.evidence[0].text) for p in analysis.pairs] == [("delivery", "Al final, qué frustración con la entrega.")]
    assert len(analysis.segments) == 61


def test_quoted_mail_and_repeats_are_not_read() -> None:
    own = "Gran alegría con la entrega. Nada más que contar."
    text = f"{own}\n{own}\n\nEl mar, 4 mar 2025, Ana escribió:\n> Sentimos su frustración.\n> Un saludo"
    answer, alone = analyze(text), analyze(own)
    assert [e.label for e in answer.emotions] == ["joy"]
    assert [(s.start, s.end) for s in answer.segments] == [(s.start, s.end) for s in alone.segments]
    assert answer.emotions == alone.emotions


def test_what_is_left_out_below_a_text_changes_nothing(tiny_bundle_folder: Path) -> None:
    pipeline = Pipeline.load(tiny_bundle_folder, precision="fp32")
    text = "La entrega llegó tarde. Gracias"
    below = "\n\nThis message is intended only for the addressee and may contain confidential information."
    bare, blank, noticed = pipeline.analyze([Feedback(text=text + end) for end in ("", " \n\n  ", below)], scores=True)
    assert bare.scores == blank.scores == noticed.scores


def test_a_stream_answers_chunk_by_chunk_as_alone() -> None:
    pipeline = Pipeline.load("fake")
    chunks = [[Feedback(id=f"{n}-{i}", text=text) for i, text in enumerate(("Bien.", "The delivery was late.")[:n])] for n in (2, 0, 1)]
    assert list(pipeline.stream(iter(chunks), scores=True)) == [pipeline.outcomes(chunk, scores=True) for chunk in chunks]
    assert list(pipeline.stream([])) == []


def test_windows_of_a_long_text_are_merged_by_tokens(tiny_bundle_folder: Path) -> None:
    """A label holds where it holds in any window, for emotions and touchpoints in the mean with its best clause; sentiment is the
    mean of the windows by their tokens.
    """
    pipeline = Pipeline.load(tiny_bundle_folder, precision="fp32")
    prepared = pipeline.prepare(" ".join(random.Random(1).choices([*WORDS, "."], k=200)), "es")
    assert len(prepared.windows) > 2
    raw = pipeline.runtime.infer(prepared.windows)
    [merged] = pipeline.logits([prepared])
    assert merged is not None
    first = np.stack([r[0] for r in raw])
    slices = pipeline.taxonomy.slices
    sentiment, signals = slices["sentiment"], slices["signals"]
    np.testing.assert_allclose(merged.text[signals], first.max(axis=0)[signals], atol=1e-5)
    for head in (slices["emotions"], slices["touchpoints"]):
        best = np.concatenate([r[1:] for r in raw]).max(axis=0)
        np.testing.assert_allclose(merged.text[head], (first.max(axis=0)[head] + best[head]) / 2, atol=1e-5)
    weights = np.array([len(w.input_ids) - 2 for w in prepared.windows])
    np.testing.assert_allclose(merged.text[sentiment], (first[:, sentiment] * weights[:, None]).sum(0) / weights.sum(), atol=1e-5)
    assert np.isfinite(merged.segments).all()
    assert len(merged.segments) == len(prepared.segments)


def test_a_word_of_100_000_characters_is_answered() -> None:
    assert analyze("x" * 100_000).status in ("ok", "language_unsupported")
    assert analyze("No me gusta " + "a" * 100_000 + " pero bueno, qué alegría").emotions[0].label == "joy"


PIECES = st.sampled_from(
    [*WORDS, "frustración", "entrega", "alegría", "pero", "but", "\n", "😀", "\u200b", "\u202e", "\x00", "…", "¿", "12,5"]
)
TEXTS = st.one_of(st.lists(PIECES, max_size=25).map(" ".join), st.text(st.characters(), max_size=40))


@settings(max_examples=80)
@given(TEXTS)
def test_any_text_is_answered_and_every_offset_is_into_the_original(text: str) -> None:
    analysis = analyze(text)
    for span in [*analysis.segments, *(span for pair in analysis.pairs for span in pair.evidence)]:
        assert span.text == text[span.start : span.end]
        assert span.text
    assert {p.emotion for p in analysis.pairs} == {e.label for e in analysis.emotions}
    assert Analysis.model_validate_json(analysis.model_dump_json()) == analysis


def test_lone_surrogates_are_answered_with_exact_offsets() -> None:
    text = "qué \ud800 frustración con la entrega, pero el personal \udfff fue una alegría"
    analysis = analyze(text)
    assert {e.label for e in analysis.emotions} == {"frustration", "joy"}
    # What no encoding can carry is shown as U+FFFD; a code point stays a code point.
    readable = text.replace("\ud800", "\ufffd").replace("\udfff", "\ufffd")
    assert [readable[s.start : s.end] for s in analysis.segments] == [s.text for s in analysis.segments]
    assert [s.text for s in analysis.segments] == [readable[:33], readable[34:]]
    analysis.model_dump_json()


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Pipeline.load(tmp_path)
