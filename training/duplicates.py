"""Near-copies among labelled texts: pairs that share most of their character 4-grams."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from training.records import Record, normalised

_GRAM = 4
NEAR = 0.6
"""Jaccard similarity of character 4-grams from which on two texts count as near-copies."""


@dataclass(frozen=True, slots=True)
class NearCopy:
    """Two records and the share of their character 4-grams that both have."""

    first: Record
    second: Record
    similarity: float

    @property
    def crosses(self) -> bool:
        """Whether one of them is trained on and the other measured on."""
        return self.first.split != self.second.split


def near_copies(records: Sequence[Record], least: float = NEAR) -> list[NearCopy]:
    """Pairs of records of at least `least` similarity, most alike first.

    Exact, by prefix filtering (Bayardo et al. 2007): with grams ordered from rare to common, two sets that overlap enough share one
    of their first grams.
    """
    grams = [_grams(record.text) for record in records]
    frequency: dict[str, int] = defaultdict(int)
    for found in grams:
        for gram in found:
            frequency[gram] += 1
    seen: dict[str, list[int]] = defaultdict(list)
    out = []
    for i, found in enumerate(grams):
        ordered = sorted(found, key=lambda gram: (frequency[gram], gram))
        prefix = ordered[: len(ordered) - int(least * len(ordered)) + 1]
        candidates = {j for gram in prefix for j in seen[gram]}
        for j in candidates:
            both = len(found & grams[j])
            if (similarity := both / (len(found) + len(grams[j]) - both)) >= least:
                out.append(NearCopy(records[j], records[i], similarity))
        for gram in prefix:
            seen[gram].append(i)
    return sorted(out, key=lambda pair: -pair.similarity)


def _grams(text: str) -> frozenset[str]:
    letters = normalised(text)
    return frozenset(letters[i : i + _GRAM] for i in range(max(1, len(letters) - _GRAM + 1)))
