"""Public corpora, folded into our labels by the tables of training/mappings/."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from nlp_service.core.errors import InputError
from nlp_service.core.taxonomy import HEADS, Taxonomy
from training.records import Record

if TYPE_CHECKING:
    import datasets


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Known(_Strict):
    """Labels of ours that the source would have marked: absent there means negative. Everything else is unknown."""

    emotions: list[str] | Literal["all"] = []
    touchpoints: list[str] | Literal["all"] = []
    sentiment: bool = False
    signals: list[str] | Literal["all"] = []

    def labels(self, taxonomy: Taxonomy) -> frozenset[str]:
        """The known label ids, sentiment classes included."""
        out: set[str] = set()
        for head in HEADS:
            value = getattr(self, head)
            out.update(label.id for label in taxonomy.labels(head)) if value in ("all", True) else out.update(value or ())
        return frozenset(out)


class Row(_Strict):
    """What one native label means: our positive labels, labels it leaves unknown, or that its rows are left out; and why."""

    emotions: list[str] = []
    touchpoints: list[str] = []
    signals: list[str] = []
    sentiment: Literal["negative", "neutral", "positive", "mixed"] | None = None
    unknown: list[str] = []
    drop: bool = False
    reason: str

    @property
    def positives(self) -> frozenset[str]:
        """Labels of the multi-label heads."""
        return frozenset([*self.emotions, *self.touchpoints, *self.signals])


class Mapping(_Strict):
    """The table of one corpus."""

    source: str
    licence: str
    attribution: str
    labels_from: Literal["labels", "aspects"]
    known: Known
    known_by_domain: dict[str, Known] = {}
    labels: dict[str, Row]

    @model_validator(mode="after")
    def _ids_exist(self) -> Self:
        taxonomy = Taxonomy.default()
        ids = {*taxonomy.label_ids, "sentiment"}
        named = {label for row in self.labels.values() for label in (*row.positives, *row.unknown)}
        for known in (self.known, *self.known_by_domain.values()):
            named |= known.labels(taxonomy)
        if named - ids:
            raise ValueError(f"labels not in the taxonomy: {sorted(named - ids)}")
        return self


@cache
def load_mapping(name: str) -> Mapping:
    """The table of corpus `name`. Raises InputError naming what is wrong with it."""
    try:
        return Mapping.model_validate(yaml.safe_load(files("training").joinpath(f"mappings/{name}.yaml").read_text("utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise InputError(f"mapping of {name}: {error}") from error


def has_mapping(name: str) -> bool:
    """Whether corpus `name` has native labels that a table folds into ours."""
    return files("training").joinpath(f"mappings/{name}.yaml").is_file() and bool(load_mapping(name).labels)


def corpus_path(folder: Path, name: str) -> Path:
    """The file of one corpus in the folder that the user gives."""
    path = folder / f"{name}.jsonl.gz"
    if not path.exists():
        raise InputError(f"corpus {name}: {path} does not exist")
    return path


def load_corpus(folder: Path, name: str) -> "datasets.Dataset":
    """All rows of one corpus. Raises InputError for a file that is missing or not of the format of data/SOURCES.md."""
    import datasets  # here, for it takes seconds that `--help` should not

    path = corpus_path(folder, name)
    try:
        rows = datasets.load_dataset("json", data_files=str(path), split="train")
    except (datasets.exceptions.DatasetGenerationError, OSError) as error:
        raise InputError(f"corpus {name}: {path}: {error.__cause__ or error}") from error
    missing = sorted({"id", "text", "lang", "split", "labels"} - set(rows.column_names))
    if missing:
        raise InputError(f"corpus {name}: {path}: rows lack {missing}")
    return rows


def corpus_names(folder: Path) -> list[str]:
    """Names of the corpora in `folder`."""
    return sorted(path.name.removesuffix(".jsonl.gz") for path in folder.glob("*.jsonl.gz"))


def corpus_texts(folder: Path) -> dict[str, str]:
    """Text of every row of every corpus in `folder`, by id."""
    tables = (load_corpus(folder, name).select_columns(["id", "text"]) for name in corpus_names(folder))
    return {row["id"]: row["text"] for table in tables for row in table}


def read_corpus(folder: Path, name: str, taxonomy: Taxonomy) -> Iterator[Record]:
    """Training rows of a corpus under its table; rows of its own development split and dropped rows are left out."""
    mapping = load_mapping(name)
    for row in load_corpus(folder, name):
        native = list(row["labels"])
        missing = sorted(set(native) - set(mapping.labels))
        if missing:
            raise InputError(f"corpus {name}: row {row['id']}: no row in the mapping for {missing}")
        # A row in which an aspect set marked nothing is not a row without touchpoints (seed: 31 of 101 have product_quality).
        marked = native or mapping.labels_from == "labels"
        if row["split"] == "train" and marked and not any(mapping.labels[label].drop for label in native):
            yield _fold(row, native, mapping, taxonomy)


def _fold(row: dict[str, Any], native: list[str], mapping: Mapping, taxonomy: Taxonomy) -> Record:
    rows = [mapping.labels[label] for label in native]
    sentiments = {label.id for label in taxonomy.sentiment}
    known = set(mapping.known_by_domain.get(row.get("domain") or "", mapping.known).labels(taxonomy))
    positives = {label for r in rows for label in r.positives}
    unknown = {label for r in rows for label in r.unknown}
    if row.get("annotated"):  # what a native label that was not asked for would have told
        unknown |= {label for key in set(mapping.labels) - set(row["annotated"]) for label in mapping.labels[key].positives}
    sentiment = None if "sentiment" in unknown else _sentiment(row, rows, mapping)
    known = (known | positives) - (unknown - positives) - sentiments
    if sentiment and mapping.known.sentiment:
        positives.add(sentiment)
        known |= sentiments
    return Record(
        id=row["id"], text=row["text"], lang=row["lang"], source=mapping.source, split="train",
        positives=frozenset(positives), known=frozenset(known),
    )  # fmt: skip


def _sentiment(row: dict[str, Any], rows: list[Row], mapping: Mapping) -> str | None:
    if mapping.labels_from == "aspects":
        found = {polarity for *_, polarity in row["aspects"]}
        if {"positive", "negative"} <= found or "conflict" in found:
            return "mixed"
        return next((p for p in ("positive", "negative", "neutral") if p in found), None)
    told = {r.sentiment for r in rows} - {None}
    return next(iter(told)) if len(told) == 1 else None
