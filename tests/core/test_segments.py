import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_service.core import segments
from nlp_service.core.segments import segment
from nlp_service.core.text import has_letters, prepare


def clauses(text: str, language: str = "es") -> list[str]:
    return [text[start:end] for start, end in segment(text, language)]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        # contrast
        ("es", "El hotel es bonito, pero el baño estaba sucio.", ["El hotel es bonito,", "pero el baño estaba sucio."]),
        ("es", "Me gusta mucho aunque resulta caro", ["Me gusta mucho", "aunque resulta caro"]),
        ("es", "Lo pedí hoy. Sin embargo no llegó", ["Lo pedí hoy.", "Sin embargo no llegó"]),
        ("es", "La tienda es cara, en cambio el personal ayuda", ["La tienda es cara,", "en cambio el personal ayuda"]),
        ("es", "Buen precio PERO MALA CALIDAD", ["Buen precio", "PERO MALA CALIDAD"]),
        ("en", "The food was great but the waiter was rude.", ["The food was great", "but the waiter was rude."]),
        ("en", "It arrived early, however the box was open", ["It arrived early,", "however the box was open"]),
        ("en", "Nice room despite the noise outside", ["Nice room", "despite the noise outside"]),
        ("en", "The app is slow, on the other hand support is quick", ["The app is slow,", "on the other hand support is quick"]),
        # the other language's words of contrast are plain words
        ("en", "El hotel es bonito pero el baño no", ["El hotel es bonito pero el baño no"]),
        ("es", "The food was great but the waiter no", ["The food was great but the waiter no"]),
        # part of a phrase is not the phrase
        ("es", "Vino sin avisar a nadie", ["Vino sin avisar a nadie"]),
        # punctuation inside a sentence
        ("es", "Todo bien; la entrega llegó tarde; muchas gracias", ["Todo bien;", "la entrega llegó tarde;", "muchas gracias"]),
        ("es", "No sé qué decir… nadie contesta nunca", ["No sé qué decir…", "nadie contesta nunca"]),
        ("en", "I waited so long... nobody ever came", ["I waited so long...", "nobody ever came"]),
        ("es", "Buena cama — mala ducha siempre", ["Buena cama —", "mala ducha siempre"]),
        ("en", "Great staff | dirty rooms", ["Great staff |", "dirty rooms"]),
        # sentences
        ("en", "Good stuff!! Really good?! Yes.", ["Good stuff!!", "Really good?!", "Yes."]),
        ("es", "¿Qué ha pasado? ¡No ha llegado nada!", ["¿Qué ha pasado?", "¡No ha llegado nada!"]),
        # opening marks belong to what follows
        ("es", "Todo fue bien, ¿pero por qué tardó tanto?", ["Todo fue bien,", "¿pero por qué tardó tanto?"]),
        ("es", "¡¡Qué asco!! ¿¡Nadie limpia esto?!", ["¡¡Qué asco!!", "¿¡Nadie limpia esto?!"]),
        ("en", "It works fine (but it is slow)", ["It works fine", "(but it is slow)"]),
        # line breaks
        ("es", "Hola Ana\nmi pedido no llega\n\nUn saludo", ["Hola Ana", "mi pedido no llega", "Un saludo"]),
        ("en", "Bad food\n- cold soup\n- late desserts\n", ["Bad food", "- cold soup", "- late desserts"]),
        # abbreviations end no sentence
        ("es", "La Sra. Gómez me atendió muy bien.", ["La Sra. Gómez me atendió muy bien."]),
        ("en", "Dr. Smith was kind. The wait was long.", ["Dr. Smith was kind.", "The wait was long."]),
        ("en", "It costs 12.50 e.g. for milk today", ["It costs 12.50 e.g. for milk today"]),
        # stretches without a letter join a neighbour
        ("es", "Me encanta 😍😍 todo funciona 👍", ["Me encanta 😍😍 todo funciona 👍"]),
        ("es", "Muy bien todo.\n😡😡😡\nVolveré mañana", ["Muy bien todo.\n😡😡😡", "Volveré mañana"]),
        ("es", "⭐⭐⭐⭐\nMuy bien todo", ["⭐⭐⭐⭐\nMuy bien todo"]),
        ("es", "Muy bien todo.\n10/10", ["Muy bien todo.\n10/10"]),
        # a single word is no clause of its own inside a sentence
        ("es", "Malo pero barato", ["Malo pero barato"]),
        ("es", "Llegó tarde; gracias", ["Llegó tarde; gracias"]),
        # one word, nothing
        ("es", "Genial", ["Genial"]),
        ("en", "but", ["but"]),
        ("es", "  Genial \n", ["Genial"]),
        ("es", "", []),
    ],
)  # fmt: skip
def test_clauses(language: str, text: str, expected: list[str]) -> None:
    assert clauses(text, language) == expected


def test_white_space_alone_has_no_clause() -> None:
    assert segment(" \n\t ", "es") == []


def test_offsets_count_code_points() -> None:
    text = "😀👩‍👧 El café está frío, pero el té está bueno 🇪🇸"
    (_, first_end), (start, end) = segment(prepare(text), "es")
    assert text[start:end] == "pero el té está bueno 🇪🇸"
    assert text[:first_end].endswith("frío,")


@pytest.mark.parametrize("unit", ["a ", "pero ", "; ", "ab, ", "¿"])
def test_the_time_grows_with_the_length(unit: str) -> None:
    """Ten times the text, and far less than the hundred times that looking at all the rest for each word would take."""
    segment(unit, "es")
    seconds = []
    for count in (3_000, 30_000):
        start = time.process_time()
        segment(unit * count, "es")
        seconds.append(time.process_time() - start)
    assert seconds[1] < 30 * max(seconds[0], 0.01)


def test_a_word_of_100_000_characters() -> None:
    word = "a" * 100_000
    assert segment(word, "es") == [(0, 100_000)]
    assert segment(f"no era {word}, pero no llegó", "es") == [(0, 100_008), (100_009, 100_022)]


WORD = st.sampled_from(
    [
        "el",
        "pedido",
        "llegó",
        "tarde",
        "pero",
        "but",
        "however",
        "sin",
        "embargo",
        "aunque",
        "Sra.",
        "e.g.",
        "bien",
        "mal",
        "12,5",
        "€",
        "😡",
        "…",
        "...",
        ";",
        "—",
        "|",
        "\n",
        ",",
        ".",
        "!",
        "(",
        ")",
        "a.m.",
    ]
)
FEEDBACK = st.one_of(
    st.lists(WORD, max_size=30).map(" ".join),
    st.lists(WORD, max_size=30).map("".join),
    st.text(max_size=60),
)  # fmt: skip


@given(FEEDBACK, st.sampled_from(["es", "en"]))
def test_every_letter_is_inside_exactly_one_clause(text: str, language: str) -> None:
    text = prepare(text)
    offsets = segment(text, language)
    inside = [0] * len(text)
    for start, end in offsets:
        for i in range(start, end):
            inside[i] += 1
    assert all(count <= 1 for count in inside)
    assert all(count == 1 for c, count in zip(text, inside, strict=True) if c.isalpha())


@given(FEEDBACK, st.sampled_from(["es", "en"]))
def test_clauses_are_ordered_trimmed_and_say_something(text: str, language: str) -> None:
    text = prepare(text)
    offsets = segment(text, language)
    assert offsets == sorted(offsets)
    for start, end in offsets:
        assert 0 <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        assert has_letters(text[start:end]) or not has_letters(text)


def test_many_threads_agree_with_one() -> None:
    texts = [(f"El pedido {i} llegó; pero la caja {i * 7} estaba rota. Gracias{i}", "es" if i % 2 else "en") for i in range(150)]
    alone = [segment(*item) for item in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda item: segment(*item), texts * 3)) == alone * 3


def test_words_beyond_those_that_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"La caja{i} llegó rota{i}, pero la tienda{i} no contestó{i}. Nada{i} más" for i in range(50)]
    remembered = [segment(text, "es") for text in texts]
    tokenize = segments._Tokenizer("es")
    monkeypatch.setattr(segments, "_tokenizer", lambda language: tokenize)
    monkeypatch.setattr(segments, "_VOCABULARY", len(tokenize._nlp.vocab) + 20)
    assert [segment(text, "es") for text in [*texts, *texts]] == remembered * 2
    kept = tokenize._nlp.vocab.strings
    assert "caja0" in kept
    assert "caja49" not in kept
