import random

import pytest

from training.noise import noised, with_typos, without_accents

TEXT = "¡Qué desastre! El señor Núñez, de atención al cliente, NO llamó… 😀 Straße"


@pytest.mark.parametrize("seed", range(40))
def test_noise_keeps_every_place(seed: int) -> None:
    changed = noised(TEXT, random.Random(seed))
    assert len(changed) == len(TEXT)
    assert changed != TEXT
    assert changed == noised(TEXT, random.Random(seed))  # the same seed, the same noise
    assert changed.index("😀") == TEXT.index("😀")


def test_accents_go_and_nothing_else() -> None:
    assert without_accents("Año, pingüino, ÁRBOL, 5º ¿sí?") == "Ano, pinguino, ARBOL, 5º ¿si?"


def test_typos_leave_spaces_and_figures_alone() -> None:
    text = "pagué 1234 euros " * 30
    changed = with_typos(text, random.Random(1), 0.3)
    assert changed != text
    assert [c for c in changed if not c.isalpha()] == [c for c in text if not c.isalpha()]
