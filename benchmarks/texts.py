"""The texts that engines are measured on: one file a set, a JSON string a line."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

from nlp_service.preparation import Preparation
from training.corpora import corpus_texts
from training.records import find, read_jsonl

_SHORT, _LONG = 12, 100  # words


def write_sets(folder: Path, data: Path, corpora: Path | None, count: int, seed: int = 5) -> dict[str, Path]:
    """Writes `archive` (lengths as they come) of `count` texts, and of a quarter of that `short`, `long` and `repeated` (a third distinct).

    With the corpora the texts are theirs, in `archive` as many of each; without them, our own records.
    """
    rng = random.Random(seed)
    pools = _corpora(corpora) if corpora else [_ours(data)]
    archive = sorted({text for pool in pools for text in rng.sample(pool, min(len(pool), max(count, 1000)))})
    rng.shuffle(archive)
    less = max(1, count // 4)
    distinct = archive[: max(1, less // 3)]
    repeated = [*distinct, *rng.choices(distinct, k=less - len(distinct))]
    long = sorted({text for pool in pools for text in pool if len(text.split()) >= _LONG})
    sets = {
        "archive": _exactly(archive, count, rng),
        "short": _exactly([text for text in archive if len(text.split()) <= _SHORT], less, rng),
        "long": _exactly(rng.sample(long, len(long)), less, rng),
        "repeated": rng.sample(repeated, less),
    }
    folder.mkdir(parents=True, exist_ok=True)
    return {name: _write(folder / f"{name}.jsonl", chosen) for name, chosen in sets.items()}


@dataclass(frozen=True, slots=True)
class TextSet:
    """A set of texts: how many, how many of them are distinct, words of the median and of the 90th percentile, mean tokens of a bundle."""

    texts: str
    count: int
    distinct: int
    words_p50: int
    words_p90: int
    tokens_a_text: float


def describe(name: str, path: Path, prepare: Preparation) -> TextSet:
    """The set `name` in `path`; `prepare` is the bundle's."""
    texts = read(path)
    words = sorted(len(text.split()) for text in texts)
    tokens = sum(len(window.input_ids) for text in texts for window in prepare(text).windows)
    return TextSet(name, len(texts), len(set(texts)), words[len(words) // 2], words[len(words) * 9 // 10], tokens / len(texts))


def read(path: Path) -> list[str]:
    """The texts of a set."""
    return [json.loads(line) for line in path.open(encoding="utf-8")]


def _corpora(folder: Path) -> list[list[str]]:
    by_corpus: dict[str, list[str]] = {}
    for row, text in corpus_texts(folder).items():
        by_corpus.setdefault(row.split("-")[0], []).append(text)
    return list(by_corpus.values())


def _ours(data: Path) -> list[str]:
    return [row["text"] for path in find(data, ["authored/*.jsonl", "original/*.jsonl"]) for _, row in read_jsonl(path)]


def _exactly(texts: list[str], count: int, rng: random.Random) -> list[str]:
    return texts[:count] if len(texts) >= count else texts + rng.choices(texts, k=count - len(texts))


def _write(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts), "utf-8")
    return path
