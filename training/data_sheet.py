"""The data sheet of our records: what is in which cell, how varied the language is, what stands twice."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nlp_service.core.taxonomy import CLAUSE_HEADS, GENERAL, Taxonomy
from training.duplicates import NearCopy
from training.pages import render
from training.records import SPLITS

Row = Mapping[str, Any]

LENGTHS = (10, 20, 40, 80, 160)
"""Bounds, in words, of the length classes."""

_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")
_ACCENTED = re.compile("[áéíóúñü¿¡]", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """Counts of records by two features. A record counts in every row and column that it has."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    counts: Mapping[tuple[str, str], int]

    @property
    def most(self) -> int:
        """The largest count, at least 1."""
        return max([1, *self.counts.values()])


def length_class(text: str) -> str:
    """`1-10`, `11-20`, … `over 160` words."""
    words, low = len(text.split()), 1
    for bound in LENGTHS:
        if words <= bound:
            return f"{low}-{bound}"
        low = bound + 1
    return f"over {LENGTHS[-1]}"


def marks(row: Row) -> list[str]:
    """What can be seen of the way a text is typed."""
    text = row["text"]
    letters = [c for c in text if c.isalpha()]
    seen = {
        "emoji": bool(_EMOJI.search(text)),
        "capitals": bool(letters) and sum(c.isupper() for c in letters) > 0.6 * len(letters),
        "no capitals": bool(letters) and not any(c.isupper() for c in letters),
        "no final mark": bool(text.rstrip()) and text.rstrip()[-1].isalnum(),
        "several lines": "\n" in text.strip(),
        "no accents (es)": row["lang"] == "es" and len(text.split()) > 8 and not _ACCENTED.search(text),
    }
    return [name for name, there in seen.items() if there]


def tables(rows: Sequence[Row], taxonomy: Taxonomy) -> list[Table]:
    """Every cross-table of the sheet."""
    emotions, touchpoints = ([label.id for label in taxonomy.labels(head)] for head in CLAUSE_HEADS)
    features: dict[str, Callable[[Row], Iterable[str]]] = {
        "language": lambda r: [r["lang"]],
        "split": lambda r: [r["split"]],
        "sentiment": lambda r: [r["sentiment"]],
        "emotion": lambda r: r["emotions"] or ["(none)"],
        "touchpoint": lambda r: r["touchpoints"] or ["(none)"],
        "signal": lambda r: r["signals"] or ["(none)"],
        "variety": lambda r: [r.get("variety", "(not noted)")],
        "channel": lambda r: [r.get("channel", "(not noted)")],
        "sector": lambda r: [r.get("sector", "(not noted)")],
        "length in words": lambda r: [length_class(r["text"])],
        "typing": lambda r: marks(r) or ["(plain)"],
        "labels a text": lambda r: [str(len(r["emotions"]) + len(r["touchpoints"]))],
    }
    order: dict[str, Sequence[str]] = {
        "split": list(SPLITS), "emotion": [*emotions, "(none)"], "touchpoint": [*touchpoints, "(none)"],
        "length in words": [length_class("w " * n) for n in (1, *(bound + 1 for bound in LENGTHS))],
    }  # fmt: skip
    chosen = [
        *((name, "language") for name in features if name != "language"),
        ("touchpoint", "sector"), ("touchpoint", "channel"), ("emotion", "channel"), ("emotion", "sector"), ("emotion", "variety"),
        ("channel", "sector"), ("emotion", "length in words"), ("emotion", "sentiment"), ("touchpoint", "sentiment"),
    ]  # fmt: skip
    out = [_cross(rows, one, features[one], other, features[other], order) for one, other in chosen]
    pairs = Counter(
        (p["touchpoint"], p["emotion"]) for r in rows for p in {(p["touchpoint"], p["emotion"]): p for p in r["pairs"]}.values()
    )
    out.insert(11, Table("pairs: touchpoint by emotion", [*touchpoints, GENERAL], emotions, pairs))
    return out


def _cross(
    rows: Sequence[Row],
    one: str,
    feature: Callable[[Row], Iterable[str]],
    other: str,
    against: Callable[[Row], Iterable[str]],
    order: Mapping[str, Sequence[str]],
) -> Table:
    counts = Counter((a, b) for row in rows for a in set(feature(row)) for b in set(against(row)))
    named = [order.get(name) or sorted({key[i] for key in counts}) for i, name in enumerate((one, other))]
    return Table(f"{one} by {other}", named[0], named[1], counts)


@dataclass(frozen=True, slots=True)
class Diversity:
    """Variety of the language of some texts: distinct n-grams over all n-grams (Li et al. 2016), over samples of equal size."""

    lang: str
    words: int
    vocabulary: int
    distinct: tuple[float, float, float]
    repeated: tuple[tuple[str, int], ...]


def diversity(rows: Sequence[Row], sample: int = 20_000) -> list[Diversity]:
    """For each language: words, vocabulary, distinct 1-, 2- and 3-grams of the first `sample` words, and the commonest 5-grams."""
    out = []
    for lang in sorted({row["lang"] for row in rows}):
        texts = [re.findall(r"\w+", row["text"].casefold()) for row in rows if row["lang"] == lang]
        words = [word for text in texts for word in text]
        head = words[:sample]
        grams = [list(zip(*(head[k:] for k in range(n)), strict=False)) for n in (1, 2, 3)]
        fives = Counter(" ".join(five) for text in texts for five in set(zip(*(text[k:] for k in range(5)), strict=False)))
        distinct = tuple(round(len(set(g)) / max(1, len(g)), 4) for g in grams)
        out.append(Diversity(lang, len(words), len(set(words)), (distinct[0], distinct[1], distinct[2]), tuple(fives.most_common(10))))
    return out


def sheet_page(rows: Sequence[Row], taxonomy: Taxonomy, copies: Sequence[NearCopy]) -> str:
    """The sheet as one HTML file without scripts; it holds counts and ids, and five-word phrases that recur."""
    return render(
        "data_sheet",
        records=len(rows),
        prompts=len({row.get("prompt", row["id"]) for row in rows}),
        tables=tables(rows, taxonomy),
        diversity=diversity(rows),
        copies=copies,
    )
