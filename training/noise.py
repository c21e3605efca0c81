"""Texts as people type them in a hurry: noise that keeps every character's place, so that labelled offsets stay right."""

import random
import unicodedata

_NEIGHBOURS = {
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "j": "hk", "k": "jl", "l": "k",
    "m": "n", "n": "bm", "o": "ip", "p": "o", "q": "wa", "r": "et", "s": "ad", "t": "ry", "u": "yi", "v": "cb", "w": "qe", "x": "zc",
    "y": "tu", "z": "x",
}  # fmt: skip
_CONFUSED = {"b": "v", "v": "b", "y": "i", "z": "s", "c": "s"}  # Spanish spelling by ear
_TYPOS_PER_LETTER = 0.03


def noised(text: str, rng: random.Random) -> str:
    """`text` with one or more of: accents dropped, case dropped, capitals throughout, punctuation dropped, typos. Same length."""
    out = text
    if rng.random() < 0.6:
        out = without_accents(out)
    case = rng.random()
    if case < 0.35:
        out = _same_length(out, out.lower())
    elif case < 0.42:
        out = _same_length(out, out.upper())
    if rng.random() < 0.35:
        out = _without_punctuation(out, rng)
    if out == text or rng.random() < 0.4:
        out = with_typos(out, rng)
    return out if out != text else _same_length(text, without_accents(text).lower())


def without_accents(text: str) -> str:
    """Letters without their marks (the tilde of n included), one code point for one code point."""
    return "".join(_bare(c) for c in text)


def with_typos(text: str, rng: random.Random, rate: float = _TYPOS_PER_LETTER) -> str:
    """Letters swapped with the next one, hit beside the key, or spelled by ear."""
    letters = list(text)
    for i in range(len(letters) - 1):
        if not letters[i].isalpha() or rng.random() >= rate:
            continue
        kind = rng.random()
        if kind < 0.5 and letters[i + 1].isalpha():
            letters[i], letters[i + 1] = letters[i + 1], letters[i]
        elif kind < 0.75:
            letters[i] = rng.choice(_NEIGHBOURS.get(letters[i], letters[i]))
        else:
            letters[i] = _CONFUSED.get(letters[i], letters[i])
    return "".join(letters)


def _bare(c: str) -> str:
    first = unicodedata.normalize("NFD", c)[0]
    return first if len(c) == 1 and c.isalpha() else c


def _same_length(text: str, changed: str) -> str:
    """`changed` where case kept the length (the capital of ß does not), else `text`."""
    return changed if len(changed) == len(text) else text


def _without_punctuation(text: str, rng: random.Random) -> str:
    """Opening marks, commas and full stops go, as in texts typed on a phone; some sentence ends stay."""
    return "".join(" " if c in "¿¡,;:" or (c in ".!" and rng.random() < 0.5) else c for c in text)
