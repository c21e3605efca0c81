"""What was read before: archives and helpdesks repeat themselves, and a text that was read once need not be read again."""

import threading
from dataclasses import dataclass
from hashlib import blake2b

from cachetools import LRUCache

from nlp_service.core.decoding import TextLogits
from nlp_service.preparation import PreparedText

Remembered = tuple[PreparedText, TextLogits | None]


@dataclass(frozen=True, slots=True)
class MemoryCounts:
    """Texts that were asked for, and those of them that were known."""

    asked: int
    known: int


class Memory:
    """The texts read last, by digest, within a bound of bytes; the least recently asked for go first. Safe to share between threads."""

    def __init__(self, max_bytes: int) -> None:
        self._texts: LRUCache[bytes, Remembered] = LRUCache(max_bytes, getsizeof=_size)
        self._asked = self._known = 0
        self._lock = threading.Lock()

    def get(self, text: str) -> Remembered | None:
        """What was made of the same text, code point for code point."""
        key = _key(text)
        with self._lock:
            found: Remembered | None = self._texts.get(key)
            self._asked += 1
            self._known += found is not None
        return found

    def put(self, text: str, prepared: PreparedText, logits: TextLogits | None) -> None:
        """Remembers a text; one that is larger than the whole bound is not."""
        value = (prepared, logits)
        with self._lock:
            if _size(value) <= self._texts.maxsize:
                self._texts[_key(text)] = value

    def count_copies(self, copies: int) -> None:
        """Counts texts that were known without asking: copies of others of the same call."""
        with self._lock:
            self._asked += copies
            self._known += copies

    @property
    def counts(self) -> MemoryCounts:
        """Since the start."""
        with self._lock:
            return MemoryCounts(self._asked, self._known)


def _key(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _size(value: Remembered) -> int:
    """About how many bytes a text keeps: Python spends some hundred on a text and on each clause, and 8 on each token id."""
    prepared, logits = value
    arrays = logits.text.nbytes + logits.segments.nbytes if logits else 0
    tokens = sum(len(window.input_ids) for window in prepared.windows)
    return 1000 + 4 * len(prepared.text) + 300 * len(prepared.segments) + 8 * tokens + arrays
