import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_service.core.correspondence import blanked, own_words, repeats
from nlp_service.core.segments import segment

QUOTED_ES = "Sigo sin luz.\n\nEl mar, 4 mar 2025 a las 10:02, Ana Gil <a@b.es> escribió:\n> Sentimos su enfado.\n> Un saludo"
QUOTED_EN = "Still no power.\n\nOn Tue, 4 Mar 2025 at 10:02,\nAnn Gill <a@b.ie> wrote:\n\nWe understand your frustration.\n\nAnn"
OUTLOOK = "Still no power.\n\nFrom: Support\nSent: Tuesday\nTo: Joe\nSubject: Your case\n\nWe are sorry for your distress."
NOTICE = "Hola, ¿hay plazas?\n\nEste correo es confidencial y va dirigido\nsolo a su destinatario.\n\nEspero noticias."
SIGNED = "Quiero la baja.\n\nMuchas gracias y un saludo,\nGloria Feliz\nJefa de Alegría\nTel. 600 000 000"

FORWARDED = "Asunto: RV: baja\n\n------- Mensaje reenviado -------\nDe: Ana\nPara: Soporte\nAsunto: baja\n\nQuiero la baja."


def kept(text: str) -> str:
    return " ".join(own_words(text).split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (QUOTED_ES, "Sigo sin luz."),
        (QUOTED_EN, "Still no power."),
        (OUTLOOK, "Still no power."),
        (FORWARDED, " ".join(FORWARDED.split())),
        ("See below.\n---- Forwarded message ----\nFrom: Shop\nIt is on its way!\n--------\nIt is not.", "See below. It is not."),
        ("Hi\n-----Original Message-----\nWe are furious", "Hi"),
        ("> Any news?\nNone.\nOn 3 May\nAnn wrote:\n> We are sorry\nStill none.", "None. Still none."),
        ("> ¿Le llegó?\nNo, nada.\n> ¿Seguro?\nSeguro.", "No, nada. Seguro."),
        (NOTICE, "Hola, ¿hay plazas? Espero noticias."),
        (SIGNED, "Quiero la baja. Muchas gracias y un saludo,"),
        ("Great stuff.\nSecond line.\nSent from my iPhone", "Great stuff. Second line."),
        ("When does it open?\nRegards,\nPriya N.\nHR Dept.", "When does it open? Regards,"),
        ("Works.\n--\nTom Fury\nAcme", "Works. --"),
    ],
)
def test_only_the_writers_own_words_stay(text: str, expected: str) -> None:
    assert kept(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Gracias\nsigo sin internet\nno funciona nada",
        "Gracias\nSigo sin internet desde ayer",
        "Thanks for nothing\nI want my money back, and\nI want it today",
        "Un saludo,\nAna Gil\nP.D. Y el baño estaba sucio",
        "> todo citado\n> y nada más",
        "El acuerdo de confidencialidad no me lo explicaron.\nSoy el destinatario del paquete.",
        "Confidencial: el destinatario soy yo.",
        "De: Madrid a Sevilla, dos horas tarde.\nPara: todos los viajeros, nada.",
        "Still no power.\nOn the plus side, my daughter wrote:\nwe loved it",
        "Still no power.\nOn 4 March I wrote:\nplease come",
        "Sigo sin luz.\nEl 4 de marzo su agente me escribió:\nmañana va el técnico. No vino.",
        "Reservé un vuelo.\nDe: Madrid\nPara: Sevilla\nNunca me devolvieron nada.",
        "NO FUNCIONA\nGRACIAS\nSIGO SIN INTERNET\nQUIERO LA BAJA",
        "Dos horas al teléfono.\nGracias por nada.\nVergonzoso",
        "Todo mal.\nGracias.\nVergonzoso.",
    ],
)
def test_words_of_the_writer_are_not_mistaken(text: str) -> None:
    assert own_words(text) == text


@given(
    st.lists(st.sampled_from([*"\n> ", "-- ", "saludos,\n", "On Monday Ann wrote:\n", "Ana Gil\n", "confidential recipient\n\n", "Bien. "]))
)
def test_nothing_moves_and_something_stays(parts: list[str]) -> None:
    text = "".join(parts)
    out = own_words(text)
    assert len(out) == len(text)
    assert all(after in (before, " ") for before, after in zip(text, out, strict=True))
    assert any(c.isalpha() for c in out) == any(c.isalpha() for c in text)


def test_what_is_pasted_twice_is_said_once() -> None:
    text = "No funciona el mando. ¡Mal! ¡Mal!\nNO FUNCIONA EL MANDO."
    clauses = segment(text, "es")
    again = repeats(text, clauses)
    assert [text[start:end] for start, end in again] == ["NO FUNCIONA EL MANDO."]
    assert blanked(text, again).rstrip() == "No funciona el mando. ¡Mal! ¡Mal!"
