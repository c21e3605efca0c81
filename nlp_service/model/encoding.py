"""From prepared text and its segments to what an encoder takes: token ids and the token range of each span."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from nlp_service.core.segments import Offsets

CLS, SEP = "<s>", "</s>"


@dataclass(frozen=True, slots=True)
class EncodedWindow:
    """One forward pass' worth of a text.

    `input_ids` holds T token ids, the two special tokens included. `spans` are half-open token ranges; the first is the whole
    window (0, T), the others belong to the segments whose indices `segments` gives, in the same order.
    """

    input_ids: list[int]
    spans: list[tuple[int, int]]
    segments: list[int]


class Encoder:
    """Tokenises texts and lays segments into windows of at most `max_tokens` tokens. Never cuts a text silently."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        """`tokenizer` must know the special tokens `<s>` and `</s>`; `max_tokens` counts them in."""
        cls, sep = tokenizer.token_to_id(CLS), tokenizer.token_to_id(SEP)
        if cls is None or sep is None:
            raise ValueError(f"tokenizer lacks {CLS} or {SEP}")
        self._tokenizer, self._cls, self._sep = tokenizer, cls, sep
        self._room = max_tokens - 2
        specials = (token.content for token in tokenizer.get_added_tokens_decoder().values())
        self._specials = re.compile("|".join(map(re.escape, specials)) or "(?!)")

    def encode(self, text: str, segments: Sequence[Offsets]) -> list[EncodedWindow]:
        """Windows of one prepared text; `segments` are its clauses as code-point offsets, in order.

        Segments are kept whole where they fit; one that is longer than a window is spread over several. Tokens outside all
        segments (numbers, emoji between sentences) ride with the segment before them.
        """
        # A customer's "<s>" (HTML for struck out) is no start of a text.
        text = self._specials.sub(lambda found: " " * len(found[0]), text)
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        bounds = _token_bounds(encoding.offsets, segments)
        windows: list[EncodedWindow] = []
        pieces: list[tuple[int, int, int]] = []  # segment, first token, end token

        def close() -> None:
            first, last = pieces[0][1], pieces[-1][2]
            windows.append(
                EncodedWindow(
                    input_ids=[self._cls, *encoding.ids[first:last], self._sep],
                    spans=[(0, last - first + 2), *((a - first + 1, b - first + 1) for _, a, b in pieces)],
                    segments=[i for i, _, _ in pieces],
                )
            )
            pieces.clear()

        for i, (start, end) in enumerate(bounds):
            for a in range(start, end, self._room):
                b = min(end, a + self._room)
                if pieces and b - pieces[0][1] > self._room:
                    close()
                pieces.append((i, a, b))
        if pieces:
            close()
        return windows


def _token_bounds(offsets: Sequence[Offsets], segments: Sequence[Offsets]) -> list[tuple[int, int]]:
    """Half-open token range of each segment: contiguous, the first from token 0, the last to the end."""
    starts: list[int] = []
    token = 0
    for start, _ in segments:
        # A token belongs to the segment in which it ends, for a token's offsets may begin at the space before it.
        while token < len(offsets) and offsets[token][1] <= start:
            token += 1
        starts.append(token)
    if not starts:
        return []
    starts[0] = 0
    return list(zip(starts, [*starts[1:], len(offsets)], strict=True))
