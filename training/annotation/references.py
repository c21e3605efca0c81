"""Readings of rows of the public corpora as labels by reference (data/README.md)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nlp_service.core.taxonomy import Taxonomy
from training.annotation.sheets import clauses_of, label_fields, read_readings
from training.corpora import corpus_names, load_corpus


def as_references(answers: Sequence[Path], corpora: Path, taxonomy: Taxonomy, faults: list[str]) -> list[dict[str, Any]]:
    """One row of `data/real/` for each reading, ordered by id; faults of the readings go into `faults`.

    All are for training: rows chosen because the model is unsure of them are no fair sample to measure on.
    """
    lines = [line for path in answers for line in path.read_text("utf-8").splitlines()]
    wanted = {line.split("|", 1)[0].strip() for line in lines}
    rows = {row["id"]: row for name in corpus_names(corpora) for row in load_corpus(corpora, name) if row["id"] in wanted}
    clauses = {key: clauses_of(row["text"], row["lang"]) for key, row in rows.items()}
    out = []
    for reading in read_readings(answers, {key: len(found) for key, found in clauses.items()}, taxonomy, faults):
        row = {"id": reading.id, "lang": rows[reading.id]["lang"], "split": "train"}
        out.append({**row, **label_fields(reading, clauses[reading.id])})
    return sorted(out, key=lambda row: row["id"])
