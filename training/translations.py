"""Translation pairs inside the public corpora, found by order and native labels: M-ABSA is one set of texts in several languages."""

from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from training.corpora import corpus_names, load_corpus

_CORPUS = "mabsa"


def translations(folder: Path) -> dict[str, str]:
    """Row id -> id of the row that is the same text in the other language, both ways, for the rows that have one.

    Empty for a folder without the corpus. Rows of a domain and split stand in the same order in both languages, with some left
    out on either side; runs of equal aspects (category, polarity) align them.
    """
    if _CORPUS not in corpus_names(folder):
        return {}
    rows: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in load_corpus(folder, _CORPUS):
        rows.setdefault((row.get("domain") or "", row["split"], row["lang"]), []).append(row)
    pairs: dict[str, str] = {}
    for (domain, split, language), spanish in rows.items():
        english = rows.get((domain, split, "en"), [])
        if language != "es" or not english:
            continue
        matcher = SequenceMatcher(None, [_aspects(row) for row in spanish], [_aspects(row) for row in english], autojunk=False)
        for block in matcher.get_matching_blocks():
            for i in range(block.size):
                one, other = spanish[block.a + i]["id"], english[block.b + i]["id"]
                pairs[one], pairs[other] = other, one
    return pairs


def _aspects(row: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((category, polarity) for _, category, polarity in row.get("aspects") or ()))
