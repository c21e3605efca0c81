"""Text preparation: what the model may see, without moving a single code point."""

import re
import unicodedata
from collections.abc import Callable, Iterable

# Zero-width characters, soft hyphens, bidirectional marks and isolates split words for a tokenizer and are invisible to people.
_INVISIBLE = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_SHOUT = 12  # letters
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def readable(text: str) -> str:
    """`text` with lone surrogates (half an emoji, left where a platform cut the text) as U+FFFD: nothing could write them out again."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def prepare(text: str) -> str:
    """`text` made safe for the model, of the same length, so that offsets into the result are offsets into `text`.

    Control characters other than line breaks and tabs, and invisible marks, become spaces. Zero-width joiners inside emoji
    sequences become spaces too: the parts keep their meaning.
    """
    if text.isascii() and text.isprintable():
        return text
    text = readable(_INVISIBLE.sub(" ", text))
    return "".join(" " if unicodedata.category(c) == "Cc" and c not in "\n\t" else c for c in text)


def replaced(text: str, spans: Iterable[tuple[int, int]], change: Callable[[str], str]) -> str:
    """`text` with `change` made to each of `spans` (offsets, in any order, without overlap). Linear in the length of the text."""
    parts, at = [], 0
    for start, end in sorted(spans):
        parts += [text[at:start], change(text[start:end])]
        at = end
    return "".join([*parts, text[at:]])


def unshouted(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """`text` with those of `spans` (offsets) in lower case that are written in capitals throughout; of the same length.

    To the tokenizer a shouted word is another word, cut into many rare pieces. Short spans (initials, product codes) stay.
    """
    return replaced(text, spans, _calm)


def _calm(part: str) -> str:
    letters = letters_in(part)
    if letters < _SHOUT or sum(c.isupper() for c in part) < 0.9 * letters:
        return part
    return "".join(low if len(low := c.lower()) == 1 else c for c in part)


def has_letters(text: str) -> bool:
    """Whether there is anything to read: at least one letter of any script."""
    return any(map(str.isalpha, text))


def letters_in(text: str) -> int:
    """How many letters of any script `text` has."""
    return sum(map(str.isalpha, text))
