"""Everything a recipe trains on, without a text that any held-back split holds."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from nlp_service.core.errors import InputError
from nlp_service.core.taxonomy import Taxonomy
from training.corpora import corpus_names, corpus_texts, load_corpus, read_corpus
from training.recipe import CorpusSource, Recipe, RecordSource, Source
from training.records import Record, Split, find, normalised, read_jsonl, read_records, read_references
from training.translations import translations


@dataclass(frozen=True)
class Folders:
    """`data`: the project's own records; `corpora`: the public corpora, None where there are none."""

    data: Path
    corpora: Path | None


def read_source(source: Source, folders: Folders, taxonomy: Taxonomy) -> Iterator[Record]:
    """All records of one source, of every split. Raises InputError where a folder or file is missing."""
    if isinstance(source, RecordSource):
        for path in find(folders.data, source.paths):
            yield from read_records(path, taxonomy, source.name)
        return
    if folders.corpora is None:
        raise InputError(f"source {source.name}: give the folder of the corpora (--corpora)")
    if isinstance(source, CorpusSource):
        for record in read_corpus(folders.corpora, source.corpus, taxonomy):
            if not source.languages or record.lang in source.languages:
                yield record
        return
    texts = corpus_texts(folders.corpora)
    other = translations(folders.corpora) if source.translations else {}
    for path in find(folders.data, source.paths):
        for record in read_references(path, texts, taxonomy, source.name):
            yield record
            if record.split == "train" and record.id in other:
                yield _translated(record, other[record.id], texts)


def _translated(record: Record, id: str, texts: dict[str, str]) -> Record:
    """The same labels on the same text in the other language; where its clauses carry them is not known."""
    lang = {"es": "en", "en": "es"}[record.lang]
    return replace(record, id=id, text=texts[id], lang=lang, spans=(), exhaustive=frozenset(), pairs=None)


@dataclass(frozen=True)
class TrainingData:
    """Training records per source, the held-back records, and how many training rows were left out as copies of those."""

    train: dict[str, list[Record]]
    held_back: dict[Split, list[Record]]
    left_out: Counter[str]


def load(recipe: Recipe, folders: Folders, taxonomy: Taxonomy) -> TrainingData:
    """Reads every source and applies the rule of the house: no text of a held-back split is trained on, by normalised text.

    The corpora's own development rows are held back in the same way, so that their figures stay honest.
    """
    train: dict[str, list[Record]] = {}
    held_back: dict[Split, list[Record]] = {"calibration": [], "dev": []}
    for source in recipe.sources:
        train[source.name] = []
        for record in read_source(source, folders, taxonomy):
            (train[source.name] if record.split == "train" else held_back[record.split]).append(record)
    forbidden = {normalised(record.text) for records in held_back.values() for record in records} | held_back_texts(folders)
    left_out: Counter[str] = Counter()
    for name, records in train.items():
        kept = [record for record in records if normalised(record.text) not in forbidden]
        left_out[name] = len(records) - len(kept)
        train[name] = kept
    return TrainingData(train, held_back, left_out)


def held_back_texts(folders: Folders) -> set[str]:
    """Normalised texts that are never trained on, whatever the recipe reads: those of our own held-back records, of the corpora's
    development rows, of held-back rows by reference and of their translations.
    """
    held_back: set[str] = set()
    references: set[str] = set()
    for path in folders.data.glob("*/*.jsonl"):
        rows = [row for _, row in read_jsonl(path) if row.get("split") in ("calibration", "dev")]
        held_back |= {normalised(row["text"]) for row in rows if isinstance(row.get("text"), str)}
        references |= {row["id"] for row in rows if "text" not in row}
    if not folders.corpora:
        return held_back
    other = translations(folders.corpora)
    references |= {other[key] for key in references if key in other}
    return held_back | {
        normalised(row["text"])
        for name in corpus_names(folders.corpora)
        for row in load_corpus(folders.corpora, name).select_columns(["id", "text", "split"])
        if row["split"] in ("dev", "test") or row["id"] in references
    }


def read_labelled(paths: Iterable[Path], corpora: Path | None, taxonomy: Taxonomy) -> Iterator[Record]:
    """Labelled records of any files, to evaluate on. Files without texts are references.

    The source of a record is the folder of its file where the file is one of the project's own, else the file's name.
    """
    texts: dict[str, str] = {}
    for path in paths:
        _, first = next(read_jsonl(path), (0, {"text": ""}))
        if "text" in first:
            yield from read_records(path, taxonomy, _source_name(path), "dev")
            continue
        if corpora is None:
            raise InputError(f"{path}: holds labels by reference; give the folder of the corpora (--corpora)")
        texts = texts or corpus_texts(corpora)
        yield from read_references(path, texts, taxonomy, _source_name(path))


def _source_name(path: Path) -> str:
    return path.parent.name if path.parent.parent.name == "data" else path.stem
