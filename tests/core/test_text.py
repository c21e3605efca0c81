import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_service.core.text import has_letters, prepare, unshouted

ODD = "\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2066\u2069\ufeff\u00ad\u061c\u2060\x00\x07\x1b\x7f\x85\r\n\t\ud800\udfff😀👩\u200d👧é"
ANY_TEXT = st.text(st.one_of(st.characters(), st.characters(categories=["Cs", "Cc", "Cf"]), st.sampled_from(ODD)), max_size=80)


@given(ANY_TEXT)
def test_length_never_changes_and_visible_characters_stay(text: str) -> None:
    prepared = prepare(text)
    assert len(prepared) == len(text)
    for before, after in zip(text, prepared, strict=True):
        assert after == before or after in " \ufffd"
        if before.isalnum() or before in " \n\t":
            assert after == before


@given(ANY_TEXT)
def test_prepared_text_is_stable_and_can_be_encoded(text: str) -> None:
    prepared = prepare(text)
    assert prepare(prepared) == prepared
    prepared.encode("utf-8")
    assert not any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in prepared)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text", "plain text"),
        ("a\x00b\x07c\x1bd\x7fe", "a b c d e"),
        ("line\r\nline\tend", "line \nline\tend"),
        ("next\x85line", "next line"),
        ("fac\u00adtura", "fac tura"),
        ("pa\u200blabra", "pa labra"),
        ("\u202egnirts\u202c", " gnirts "),
        ("\u2066x\u2069\ufeff", " x  "),
        ("a\ud800b", "a\ufffdb"),
        ("👩\u200d👧", "👩 👧"),
        ("¿Qué? ¡Ñandú! 日本 привет", "¿Qué? ¡Ñandú! 日本 привет"),
        ("e\u0301 stays decomposed", "e\u0301 stays decomposed"),
        ("", ""),
    ],
)
def test_each_kind_of_character(text: str, expected: str) -> None:
    assert prepare(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", False), ("  \n", False), ("12,50 €", False), ("😀👍", False), ("...!?", False), ("a", True), ("日", True), ("😀 ñ", True)],
)
def test_letters(text: str, expected: bool) -> None:
    assert has_letters(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NUNCA MÁS VUELVO AQUÍ", "nunca más vuelvo aquí"),
        ("Nunca MÁS vuelvo aquí", "Nunca MÁS vuelvo aquí"),
        ("ITV OK NIF", "ITV OK NIF"),
        ("ÄRGER MIT DEM \u0130NTERNET", "ärger mit dem \u0130nternet"),
    ],
)
def test_a_shouted_span_is_read_in_lower_case(text: str, expected: str) -> None:
    assert unshouted(text, [(0, len(text))]) == expected


def test_only_the_shouted_spans_change() -> None:
    text = "Buen hotel. EL DESAYUNO ES HORRIBLE. Volveremos."
    assert unshouted(text, [(0, 11), (12, 36), (37, 48)]) == "Buen hotel. el desayuno es horrible. Volveremos."
