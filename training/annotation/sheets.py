"""Sheets that a labeller reads and the readings that come back: one line a text, labels by clause number.

A sheet numbers the clauses of the whole text, quoted mail and signatures included, so a reading tells for every clause what it
carries, also where the pipeline later reads less:

    ### esa-014 es                                      esa-014|mixed|advocacy|1:staff/satisfaction 2:price 3:price/disappointment
    1 El camarero fue amabilísimo.
    2 La cuenta, 80 euros.
    3 Esperaba otra cosa.

`2:price` is a clause that says something about a touchpoint without emotion, `3:price/disappointment` an emotion about it, also
where another clause names the touchpoint, `1:general/joy` an emotion about nothing in particular. A clause that is not listed
carries no label.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_service.core.errors import InputError
from nlp_service.core.taxonomy import GENERAL, Taxonomy
from nlp_service.core.text import prepare

if TYPE_CHECKING:
    from nlp_service.core.segments import Offsets

_ITEM = re.compile(r"(\d+):(\w+)(?:/(\w+))?")


@dataclass(frozen=True, slots=True)
class Item:
    """What one clause (counted from 1) says about a touchpoint, or about nothing in particular (`general`)."""

    clause: int
    touchpoint: str
    emotion: str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """One reader's labels of one text."""

    id: str
    sentiment: str
    signals: tuple[str, ...]
    items: tuple[Item, ...]

    @property
    def emotions(self) -> list[str]:
        """Emotions of the text, in the order of their first clause."""
        return list(dict.fromkeys(item.emotion for item in self.items if item.emotion))

    @property
    def touchpoints(self) -> list[str]:
        """Touchpoints of the text, in the order of their first clause."""
        return list(dict.fromkeys(item.touchpoint for item in self.items if item.touchpoint != GENERAL))

    @property
    def labels(self) -> frozenset[str]:
        """All labels of the text, the sentiment among them."""
        return frozenset([*self.emotions, *self.touchpoints, *self.signals, self.sentiment])

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """(touchpoint, emotion) of the text."""
        return frozenset((item.touchpoint, item.emotion) for item in self.items if item.emotion)

    def line(self) -> str:
        """The answer line."""
        items = (f"{i.clause}:{i.touchpoint}" + (f"/{i.emotion}" if i.emotion else "") for i in self.items)
        return f"{self.id}|{self.sentiment}|{','.join(self.signals)}|{' '.join(items)}"


def clauses_of(text: str, language: str) -> "list[Offsets]":
    """The clauses that a sheet numbers, those of the whole text. `language`: `en`, anything else is read by the Spanish rules."""
    from nlp_service.core.segments import segment  # here, for spaCy takes seconds that `--help` should not

    return segment(prepare(text), "en" if language == "en" else "es")


def write_sheet(path: Path, texts: Iterable[tuple[str, str, str]]) -> None:
    """A sheet of (id, language, text). It holds customers' words: keep it out of version control."""
    blocks = []
    for key, language, text in texts:
        blocks.append("\n".join([f"### {key} {language}", *numbered_clauses(text, language)]) + "\n")
    path.write_text("\n".join(blocks), "utf-8")


def numbered_clauses(text: str, language: str) -> list[str]:
    """One line a clause, with its number."""
    return [f"{k} " + " ".join(text[start:end].split()) for k, (start, end) in enumerate(clauses_of(text, language), 1)]


def sheet_clauses(path: Path) -> dict[str, int]:
    """How many clauses each text of a sheet has."""
    counts: dict[str, int] = {}
    key = ""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("### "):
            key = line.split()[1]
            counts[key] = 0
        elif line[:1].isdigit():
            counts[key] += 1
    return counts


def read_readings(paths: Iterable[Path], clauses: Mapping[str, int], taxonomy: Taxonomy, faults: list[str]) -> Iterator[Reading]:
    """Readings of files of answer lines; `clauses` tells how many clauses each text has. Every fault goes into `faults`."""
    seen: dict[str, str] = {}
    for path in paths:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                reading = parse_reading(line, clauses, taxonomy)
            except InputError as error:
                faults.append(f"{where}: {error}")
                continue
            if reading.id in seen:
                faults.append(f"{where}: {reading.id} was read in {seen[reading.id]}")
                continue
            seen[reading.id] = where
            yield reading


def parse_reading(line: str, clauses: Mapping[str, int], taxonomy: Taxonomy) -> Reading:
    """One answer line. Raises InputError that lists all that is wrong with it."""
    fields = [field.strip() for field in line.split("|")]
    if len(fields) != 4:
        raise InputError(f"{len(fields)} fields between |, wanted 4 (id|sentiment|signals|clauses)")
    key, sentiment, signals, told = fields
    if key not in clauses:
        raise InputError(f"{key!r} is in none of the sheets")
    faults: list[str] = []
    named = tuple(x.strip() for x in signals.split(",") if x.strip())
    for signal in sorted(set(named) - {label.id for label in taxonomy.labels("signals")}):
        faults.append(f"signal {signal!r} is unknown")
    if sentiment not in {label.id for label in taxonomy.sentiment}:
        faults.append(f"sentiment {sentiment!r} is unknown")
    items = [item for word in told.split() if (item := _item(word, clauses[key], taxonomy, faults))]
    if faults:
        raise InputError(f"{key}: " + "; ".join(faults))
    return Reading(key, sentiment, named, tuple(dict.fromkeys(items)))


def _item(word: str, clauses: int, taxonomy: Taxonomy, faults: list[str]) -> Item | None:
    match = _ITEM.fullmatch(word)
    if not match:
        faults.append(f"{word!r} is not CLAUSE:TOUCHPOINT/EMOTION")
        return None
    number, emotion = int(match[1]), match[3]
    item = Item(number, match[2], emotion)
    before = len(faults)
    if not 1 <= number <= clauses:
        faults.append(f"{word!r}: the text has clauses 1 to {clauses}")
    if item.touchpoint != GENERAL and item.touchpoint not in {label.id for label in taxonomy.labels("touchpoints")}:
        faults.append(f"{word!r}: unknown touchpoint")
    if emotion is not None and emotion not in {label.id for label in taxonomy.labels("emotions")}:
        faults.append(f"{word!r}: unknown emotion")
    if emotion is None and item.touchpoint == GENERAL:
        faults.append(f"{word!r}: an emotion is missing")
    return item if len(faults) == before else None


def label_fields(reading: Reading, clauses: "Sequence[Offsets]") -> dict[str, Any]:
    """The label fields of a record of `data/real/`, with offsets (code points) for pairs and segments."""
    pairs: dict[tuple[str, str, int], None] = {}
    segments: dict[int, tuple[list[str], list[str]]] = {}
    for item in reading.items:
        touchpoints, emotions = segments.setdefault(item.clause, ([], []))
        if item.touchpoint not in (GENERAL, *touchpoints):
            touchpoints.append(item.touchpoint)
        if item.emotion:
            pairs[item.touchpoint, item.emotion, item.clause] = None
            if item.emotion not in emotions:
                emotions.append(item.emotion)
    first: dict[tuple[str, str], int] = {}
    for touchpoint, emotion, clause in pairs:
        first.setdefault((touchpoint, emotion), clause)
    return {
        "emotions": reading.emotions,
        "touchpoints": reading.touchpoints,
        "sentiment": reading.sentiment,
        "signals": list(reading.signals),
        "pairs": [{"touchpoint": t, "emotion": e, **_place(clauses[k - 1])} for (t, e), k in first.items()],
        "segments": [{**_place(clauses[k - 1]), "touchpoints": t, "emotions": e} for k, (t, e) in sorted(segments.items())],
    }


def _place(offsets: "Offsets") -> dict[str, int]:
    return {"start": offsets[0], "end": offsets[1]}
