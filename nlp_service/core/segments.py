"""Sentences and clauses with exact offsets, by spaCy's blank pipelines (rules and tokenizer tables, no downloaded model)."""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import cache
from itertools import accumulate
from typing import Any

import spacy
from spacy.attrs import IS_PUNCT
from spacy.language import Language as SpacyPipeline

from nlp_service.core.text import has_letters

Offsets = tuple[int, int]

# A clause begins at a word of contrast: that is where a mixed text turns from merit to flaw.
_CONTRAST = {
    "es": ("pero", "aunque", "sino", "excepto", "sin embargo", "no obstante", "en cambio", "mientras que", "eso sí",
           "a pesar de", "por otro lado", "por el contrario", "ahora bien", "lo malo", "lo bueno", "lo único"),
    "en": ("but", "however", "although", "though", "yet", "whereas", "except", "nevertheless", "nonetheless", "despite",
           "on the other hand", "even though", "that said", "having said that", "in spite of", "the only"),
}  # fmt: skip
_BREAK_AFTER = frozenset({";", "…", "...", "—", "–", "|", "•"})
# These begin what follows; spaCy's rules count them to the sentence before ("¿Qué pasa? ¡" + "Nadie contesta!").
_OPENING = frozenset("¿¡([{«“‘")
# A stretch with fewer words than this is no clause of its own; it joins its neighbour in the sentence.
_MIN_WORDS = 2

# spaCy takes the marks around a word off one by one, each time looking at all the rest: a long row of them would cost quadratic time.
_MARK_RUN = 30
_MARKS = re.compile(rf"(?:[^\w\s]|_){{{_MARK_RUN + 1},}}")

_VOCABULARY = 20_000  # words, some 10 MB


class _Tokenizer:
    """spaCy's words and sentence beginnings of one language, with the first `_VOCABULARY` words that it meets remembered.

    Remembered ones take a tenth of the time. spaCy would keep all others too, which for an archive would grow for ever; once that many
    are known, each text has a memory zone, which frees its new words when it is done.
    """

    def __init__(self, language: str) -> None:
        self._nlp: SpacyPipeline = spacy.blank(language)
        self._nlp.add_pipe("sentencizer")
        self._nlp.max_length = 2**31 - 1  # the limit guards parsers; a tokenizer needs none
        # The sentencizer reads this one attribute of a word; working out the others for every new word takes half of the time.
        vocab: Any = self._nlp.vocab  # whose type stub lacks the attribute
        vocab.lex_attr_getters = {IS_PUNCT: vocab.lex_attr_getters[IS_PUNCT]}
        self._lock = threading.Lock()  # a zone must not close under another thread

    def __call__(self, text: str) -> list[tuple[str, int, bool | None]]:
        """Each word with its offset and whether it begins a sentence."""
        with self._lock, self._nlp.memory_zone() if len(self._nlp.vocab) > _VOCABULARY else nullcontext():
            # Plain lists: reading a token's attributes in Python costs more than the whole pipeline.
            return [(token.text, token.idx, token.is_sent_start) for token in self._nlp(text)]


_tokenizer = cache(_Tokenizer)


@cache
def _contrast(language: str) -> dict[str, list[list[str]]]:
    """Contrast phrases by their first word."""
    phrases: dict[str, list[list[str]]] = {}
    for phrase in _CONTRAST[language]:
        words = phrase.split()
        phrases.setdefault(words[0], []).append(words)
    return phrases


def segment(text: str, language: str) -> list[Offsets]:
    """Clauses of `text` as (start, end) code-point offsets, in order, without overlap, trimmed of white space.

    `language` is `es` or `en`. Boundaries: sentence ends, line breaks, semicolons, ellipses and dashes, and words of contrast.
    Stretches without a letter join the clause before them. Every letter of the text is inside exactly one clause.
    """
    if not text.strip():
        return []
    tokens = _tokenizer(language)(_MARKS.sub(lambda run: run[0][:_MARK_RUN].ljust(len(run[0])), text))
    words = [word for word, _, _ in tokens]
    spoken = [word.isalpha() or has_letters(word) for word in words]
    pieces: list[Offsets] = []
    for start, end in _sentences(tokens):
        pieces += _clauses([word.lower() for word in words[start:end]], spoken[start:end], start, _contrast(language))
    offsets = [(tokens[start][1], tokens[end - 1][1] + len(words[end - 1])) for start, end in _join_unspoken(pieces, spoken)]
    return [_trim(text, start, end) for start, end in offsets]


def _sentences(tokens: Sequence[tuple[str, int, bool | None]]) -> Iterator[Offsets]:
    """Token ranges of sentences; a line break ends one too (subjects, greetings, lists, signatures)."""
    start = 0
    words = [word for word, _, _ in tokens]
    for i, (word, _, begins) in enumerate(tokens):
        if i > start and (begins or "\n" in word):
            cut = _before_opening(words, i, start)
            yield start, cut
            start = cut
    if tokens:
        yield start, len(tokens)


def _before_opening(words: Sequence[str], i: int, first: int) -> int:
    """Where a clause that begins at word `i` begins with the opening marks before it; after `first` in any case."""
    while i - 1 > first and words[i - 1] in _OPENING:
        i -= 1
    return i


def _clauses(words: list[str], spoken: list[bool], offset: int, contrast: dict[str, list[list[str]]]) -> list[Offsets]:
    """Token ranges of the clauses of one sentence, none shorter than `_MIN_WORDS` words unless the sentence is."""
    cuts = [0]
    said = list(accumulate(spoken, initial=0))  # words before each place
    for i in range(1, len(words)):
        if said[i] - said[cuts[-1]] < _MIN_WORDS:
            continue  # "pero lo malo", "even though": the second word of contrast belongs to what the first one begins
        if words[i - 1] in _BREAK_AFTER or any(words[i : i + len(phrase)] == phrase for phrase in contrast.get(words[i], ())):
            cuts.append(_before_opening(words, i, cuts[-1]))
    pieces: list[Offsets] = []
    for start, end in zip(cuts, [*cuts[1:], len(words)], strict=True):
        if pieces and (sum(spoken[start:end]) < _MIN_WORDS or sum(spoken[slice(*pieces[-1])]) < _MIN_WORDS):
            pieces[-1] = (pieces[-1][0], end)
        else:
            pieces.append((start, end))
    return [(start + offset, end + offset) for start, end in pieces]


def _join_unspoken(pieces: list[Offsets], spoken: list[bool]) -> list[Offsets]:
    """Stretches without a letter (a row of emoji, a number, a line of dashes) join the clause before them, or the first one."""
    out: list[Offsets] = []
    for start, end in pieces:
        if (out and not any(spoken[start:end])) or (out and not any(spoken[slice(*out[-1])])):
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return out


def _trim(text: str, start: int, end: int) -> Offsets:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
