"""Which language a text is written in: Spanish, English, both, or one that is not supported."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from nlp_service.core.schema import LanguageTag
from nlp_service.core.text import letters_in

SUPPORTED: tuple[LanguageTag, ...] = ("es", "en")

# The neighbours of Spanish and English and the languages that customers most often write in. Fewer candidates, and a prior for
# the two that are supported, make short texts safer (docs/decisions/0004-language-identification.md).
_CANDIDATES = "ar bg ca cs da de el en es eu fa fi fr gl he hi hr hu id it ja ko nl no pl pt ro ru sk sv th tr uk vi zh".split()
# A text is answered in Spanish or English unless another language is clear: one that is this probable, or, from `_LONG` letters on,
# Spanish and English together all but ruled out. Most "other" verdicts on a word or two ("Awful", "Excelente") are wrong.
_CLEARLY_OTHER = 0.6
_SUPPORTED_MASS = 0.05
_LONG = 20
# A clause says something of its own about the language from this many letters on; a shorter one takes the text's.
_MIN_LETTERS = 12
_SURE = 0.9
# Share of the letters that the second language needs for the text to be mixed.
_MIXED_SHARE = 0.2


@dataclass(frozen=True)
class Language:
    """The tag shown to users, and the supported language whose calibration applies."""

    tag: LanguageTag
    calibration: LanguageTag


@cache
def _identifier() -> Any:
    identifier: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(_CANDIDATES)
    return identifier


def ranked(text: str) -> dict[str, float]:
    """Probability of each candidate language, without any prior."""
    return {tag: float(p) for tag, p in _identifier().rank(text)}


def identify(text: str) -> tuple[LanguageTag, float]:
    """`es`, `en` or `other` for one stretch of text, with the probability of the winner among the candidates."""
    letters = letters_in(text)
    if not text.isascii() and sum("a" <= c <= "\u024f" for c in text.lower() if c.isalpha()) * 2 < letters:
        return "other", 1.0
    candidates = ranked(text)
    mass = sum(candidates[tag] for tag in SUPPORTED)
    best_other = max(p for tag, p in candidates.items() if tag not in SUPPORTED)
    if best_other >= _CLEARLY_OTHER or (letters >= _LONG and mass < _SUPPORTED_MASS):
        return "other", 1.0 - mass
    tag = max(SUPPORTED, key=candidates.__getitem__)
    return tag, candidates[tag]


def identify_parts(whole: LanguageTag, parts: Sequence[str]) -> tuple[Language, list[LanguageTag]]:
    """The languages of the clauses of a text in the supported language `whole`, and with them that of the text.

    A part too short to tell takes the text's language. The text is `mixed` where clear Spanish and clear English parts both
    hold a fair share of its letters.
    """
    tags: list[LanguageTag] = []
    sure = dict.fromkeys(SUPPORTED, 0)
    for part in parts:
        letters = letters_in(part)
        # A text of one part has been identified already.
        tag, probability = identify(part) if letters >= _MIN_LETTERS and len(parts) > 1 else (whole, 0.0)
        tags.append(tag if probability >= _SURE else whole)
        if tag in sure and probability >= _SURE:
            sure[tag] += letters
    total = sum(sure.values())
    mixed = bool(total) and min(sure.values()) >= _MIXED_SHARE * total and min(sure.values()) >= _MIN_LETTERS
    return Language("mixed" if mixed else whole, whole), tags
