"""Which rows of the public corpora to label next: those where the model is least sure, or where it and the source disagree."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from nlp_service.core.errors import InputError
from nlp_service.core.schema import Feedback
from nlp_service.pipeline import Pipeline
from training.corpora import has_mapping, load_corpus, read_corpus
from training.data import Folders, held_back_texts
from training.records import Record, normalised, read_jsonl
from training.translations import translations

_POOL = 4  # rows scored for each row wanted; the best of all rows of a corpus would all be of one strange kind
_MIN_WORDS = 3
_MAX_WORDS = 260


@dataclass(frozen=True)
class Candidate:
    """A row of a corpus and how much its labels would teach (nats: uncertainty of the labels + surprise at the source's labels)."""

    id: str
    lang: str
    text: str
    score: float


def parse_wanted(given: Sequence[str]) -> dict[tuple[str, str], int]:
    """`CORPUS/LANGUAGE=COUNT` of each -> (corpus, language): count. Raises InputError naming what is not of that form."""
    wanted = {}
    for part in given:
        match = re.fullmatch(r"(\w+)/(\w+)=(\d+)", part)
        if not match:
            raise InputError(f"{part!r} is not CORPUS/LANGUAGE=COUNT")
        wanted[match[1], match[2]] = int(match[3])
    return wanted


def select(pipeline: Pipeline, folders: Folders, wanted: Mapping[tuple[str, str], int], seed: int = 13) -> list[Candidate]:
    """The rows to label, `wanted` of each (corpus, language), most instructive first within each.

    Only training rows that are not labelled yet, are no translation of a labelled or selected row, and whose text stands in no
    held-back split. `folders.corpora` must be given.
    """
    assert folders.corpora is not None
    corpora, rng = folders.corpora, random.Random(seed)
    other = translations(corpora)
    done = {row["id"] for path in folders.data.glob("real/*.jsonl") for _, row in read_jsonl(path)}
    done |= {other[key] for key in done if key in other}
    forbidden = held_back_texts(folders)
    chosen: list[Candidate] = []
    for (corpus, language), count in wanted.items():
        pool = [row for row in load_corpus(corpora, corpus) if row["lang"] == language and row["split"] in ("train", "unlabelled")]
        rng.shuffle(pool)
        kept: list[dict[str, Any]] = []
        for row in pool:
            key = normalised(row["text"])
            if row["id"] in done or key in forbidden or not _MIN_WORDS <= len(row["text"].split()) <= _MAX_WORDS:
                continue
            forbidden.add(key)  # a text that occurs twice is labelled once
            kept.append(row)
            if len(kept) == _POOL * count:
                break
        best = sorted(_scored(pipeline, folders, corpus, kept), key=lambda candidate: -candidate.score)[:count]
        done |= {other[c.id] for c in best if c.id in other}
        chosen += best
    return chosen


def _scored(pipeline: Pipeline, folders: Folders, corpus: str, rows: Sequence[dict[str, Any]]) -> list[Candidate]:
    mapped = _mapped(folders, corpus, pipeline)
    out = []
    for start in tqdm(range(0, len(rows), 256), f"scoring {corpus}"):
        part = rows[start : start + 256]
        analyses = pipeline.analyze([Feedback(text=row["text"]) for row in part], scores=True)
        for row, analysis in zip(part, analyses, strict=True):
            if analysis.scores:
                p = {label: value for head in analysis.scores.values() for label, value in head.items()}
                out.append(Candidate(row["id"], row["lang"], row["text"], _entropy(p) + _surprise(p, mapped.get(row["id"]))))
    return out


def _mapped(folders: Folders, corpus: str, pipeline: Pipeline) -> dict[str, Record]:
    """What the source's own labels say of each row, where there is a table for them."""
    assert folders.corpora is not None
    return {} if not has_mapping(corpus) else {record.id: record for record in read_corpus(folders.corpora, corpus, pipeline.taxonomy)}


def _entropy(p: Mapping[str, float]) -> float:
    values = np.clip(np.array(list(p.values())), 1e-4, 1 - 1e-4)
    return float(-(values * np.log(values) + (1 - values) * np.log(1 - values)).sum())


def _surprise(p: Mapping[str, float], record: Record | None) -> float:
    if record is None:
        return 0.0
    told = np.array([p[label] if label in record.positives else 1 - p[label] for label in sorted(record.known)])
    return float(-np.log(np.clip(told, 1e-2, 1)).sum()) / 4  # a source is wrong oftener than the model is unsure
