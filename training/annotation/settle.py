"""From two readings of our records to settled labels: what both say stands, a third reader decides the rest."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nlp_service.core.errors import InputError
from nlp_service.core.taxonomy import Taxonomy
from training.annotation.sheets import Item, Reading, clauses_of, label_fields, numbered_clauses, parse_reading


def reading_of(record: Mapping[str, Any]) -> Reading:
    """The labels of a record with quotes (data/README.md) as a reading: each quote tells the clause that it begins in."""
    clauses = clauses_of(record["text"], record["lang"])

    def clause(quote: str) -> int:
        start = record["text"].find(quote)
        return next((k for k, (_, end) in enumerate(clauses, 1) if start < end), len(clauses))

    items = [Item(clause(p["quote"]), p["touchpoint"], p["emotion"]) for p in record["pairs"]]
    paired = {(item.clause, item.touchpoint) for item in items}
    for segment in record.get("segments", ()):
        number = clause(segment["quote"])
        items += [Item(number, t, None) for t in segment["touchpoints"] if (number, t) not in paired]
    shown = {item.touchpoint for item in items}
    items += [Item(1, t, None) for t in record["touchpoints"] if t not in shown]  # records without segments
    ordered = sorted(dict.fromkeys(items), key=lambda item: item.clause)
    return Reading(record["id"], record["sentiment"], tuple(record["signals"]), tuple(ordered))


def differ(first: Reading, second: Reading) -> bool:
    """Whether the readings say different things of the text: labels, or which emotion is about what. Places do not count."""
    return (first.labels, first.pairs) != (second.labels, second.pairs)


def settled(first: Reading, second: Reading, third: Reading | None) -> Reading:
    """The third reader's word where there is one, else what both say with the clauses of both. Raises InputError without either."""
    if third is not None:
        return third
    if differ(first, second):
        raise InputError(f"{first.id}: the two readings differ and no third one settles it")
    items = sorted(dict.fromkeys([*first.items, *second.items]), key=lambda item: item.clause)
    return Reading(first.id, first.sentiment, first.signals, tuple(items))


def apply(record: Mapping[str, Any], reading: Reading) -> dict[str, Any]:
    """`record` with the labels of `reading`: quotes of pairs that stood before stay, new ones are the words of their clause."""
    text, clauses = record["text"], clauses_of(record["text"], record["lang"])
    labels = label_fields(reading, clauses)
    quotes = {(p["touchpoint"], p["emotion"]): p["quote"] for p in record["pairs"]}
    labels["pairs"] = [
        {"touchpoint": p["touchpoint"], "emotion": p["emotion"], "quote": _quote(p, text, quotes.get((p["touchpoint"], p["emotion"])))}
        for p in labels["pairs"]
    ]
    labels["segments"] = [
        {"quote": text[s["start"] : s["end"]], "touchpoints": s["touchpoints"], "emotions": s["emotions"]} for s in labels["segments"]
    ]
    return {**record, **labels}


def _quote(place: Mapping[str, Any], text: str, before: str | None) -> str:
    return before if before and before in text else str(text[place["start"] : place["end"]])


def write_disputes(path: Path, cases: Iterable[tuple[Mapping[str, Any], Reading, Reading]]) -> None:
    """A sheet of the texts that two readers read differently, with both readings under each as A and B, without names."""
    blocks = []
    for record, first, second in cases:
        lines = [f"### {record['id']} {record['lang']}", *numbered_clauses(record["text"], record["lang"])]
        swap = sum(map(ord, record["id"])) % 2  # so that a reader cannot tell which of them wrote the text
        for name, reading in zip("AB", (second, first) if swap else (first, second), strict=True):
            lines.append(f"{name}: {reading.line().split('|', 1)[1]}")
        blocks.append("\n".join(lines) + "\n")
    path.write_text("\n".join(blocks), "utf-8")


def clause_counts(records: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many clauses each record has: what its readings are checked against."""
    return {record["id"]: len(clauses_of(record["text"], record["lang"])) for record in records}


def load_readings(path: Path, clauses: Mapping[str, int], taxonomy: Taxonomy) -> dict[str, Reading]:
    """Readings of the records in `clauses` from a file of answer lines, none where there is no file; others are passed over.

    Raises InputError with the faults of the first bad line.
    """
    lines = [line for line in path.read_text("utf-8").splitlines() if line.split("|", 1)[0] in clauses] if path.exists() else []
    return {reading.id: reading for reading in (parse_reading(line, clauses, taxonomy) for line in lines)}


def keep_readings(path: Path, readings: Iterable[Reading]) -> None:
    """Adds readings to a file of answer lines, which stays in order of its ids; what it holds already stays."""
    before = path.read_text("utf-8").splitlines() if path.exists() else []
    path.write_text("".join(line + "\n" for line in sorted([*before, *(reading.line() for reading in readings)])), "utf-8")
