import pytest

from nlp_service.core.language import identify, identify_parts


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("El pedido llegó roto y nadie me coge el teléfono.", "es"),
        ("Llevo tres semanas esperando el reembolso", "es"),
        ("muy mal servicio", "es"),
        ("no funciona la aplicacion", "es"),
        ("PESIMA ATENCION, NO VUELVO", "es"),
        ("The parcel arrived broken and nobody answers the phone.", "en"),
        ("I have been waiting three weeks for my refund", "en"),
        ("great service", "en"),
        ("app keeps crashing", "en"),
        ("WORST BANK EVER, NEVER AGAIN", "en"),
        ("gracias 😀😀 todo perfecto", "es"),
        ("order 123456 still not here 😡", "en"),
        ("Посылка пришла с опозданием, очень плохо", "other"),
        ("商品が届きません。返金してください。", "other"),
        ("الخدمة سيئة جدا", "other"),
        ("Die Lieferung kam viel zu spät und niemand hat sich gemeldet", "other"),
        ("La livraison est arrivée en retard et personne ne répond au téléphone", "other"),
    ],
)
def test_language_of_one_text(text: str, tag: str) -> None:
    assert identify(text)[0] == tag


@pytest.mark.parametrize("text", ["", "12345", "😀😀😀", "?!", "a", "ñ", "ok", "ok 👍", "日", "x" * 5000, "\n"])
def test_any_text_gets_a_tag_and_a_probability(text: str) -> None:
    tag, probability = identify(text)
    assert tag in ("es", "en", "other")
    assert 0 <= probability <= 1 + 1e-6


def test_a_foreign_word_in_another_script_does_not_decide() -> None:
    assert identify("Pedí un plato de ramen (ラーメン) y estaba frío")[0] == "es"


def test_a_text_with_a_fair_share_of_both_languages_is_mixed() -> None:
    parts = [
        "El pedido llegó tres días tarde y la caja estaba abierta.",
        "The agent on the phone was really helpful and solved everything.",
    ]
    language, tags = identify_parts(identify(" ".join(parts))[0], parts)
    assert language.tag == "mixed"
    assert language.calibration in ("es", "en")
    assert tags == ["es", "en"]


def test_one_short_foreign_phrase_does_not_make_a_text_mixed() -> None:
    parts = [
        "El pedido llegó tres días tarde y la caja estaba abierta por un lado, con la mitad de las cosas fuera de su sitio.",
        "Llamé al servicio de atención al cliente y me dijeron que lo mirarían, pero de eso hace ya casi dos semanas.",
        "Thank you!",
    ]
    language, tags = identify_parts(identify(" ".join(parts))[0], parts)
    assert (language.tag, language.calibration) == ("es", "es")
    assert tags == ["es", "es", "es"]  # too short to tell: it takes the language of the text


@pytest.mark.parametrize(("text", "tag"), [("Todo perfecto, volveré a comprar.", "es"), ("All good, I will buy again.", "en")])
def test_the_calibration_of_a_plain_text_is_its_language(text: str, tag: str) -> None:
    language, tags = identify_parts(identify(text)[0], [text])
    assert (language.tag, language.calibration, tags) == (tag, tag, [tag])


def test_no_parts() -> None:
    assert identify_parts("en", [])[1] == []


@pytest.mark.parametrize(
    ("text", "tag"),
    [("Excelente", "es"), ("Pésimo", "es"), ("Genial", "es"), ("Awful", "en"), ("Good", "en"), ("Love it", "en"), ("Slow", "en"),
     ("Sehr gut", "other"), ("Très bien", "other"), ("Muito bom", "other")],
)  # fmt: skip
def test_a_word_or_two(text: str, tag: str) -> None:
    assert identify(text)[0] == tag
