import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from nlp_service.core.errors import InputError
from nlp_service.core.taxonomy import Taxonomy
from training.data import Folders, load, read_source
from training.recipe import Recipe

TAXONOMY = Taxonomy.default()


def recipe(*sources: dict[str, Any]) -> Recipe:
    return Recipe.model_validate({"name": "t", "sources": list(sources), "optimisation": {"epochs": 1}})


OURS = {"name": "ours", "kind": "records", "paths": ["ours/*.jsonl"]}
SEED = {"name": "seed", "kind": "references", "paths": ["real/*.jsonl"]}
CLINC = {"name": "clinc", "kind": "corpus", "corpus": "clinc"}
MABSA = {"name": "mabsa", "kind": "corpus", "corpus": "mabsa"}


def ours(id: str, text: str, split: str = "train", **more: Any) -> dict[str, Any]:
    empty = {"emotions": [], "touchpoints": [], "sentiment": "neutral", "signals": [], "pairs": []}
    return {"id": id, "text": text, "lang": "es", "split": split, **empty, **more}


def native(id: str, text: str, split: str = "train", lang: str = "en", label: str = "timer") -> dict[str, Any]:
    row = {"id": id, "text": text, "lang": lang, "split": split, "labels": [label]}
    return {**row, "aspects": [["x", label, "positive"]]} if "mabsa" in id else row


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    data, corpora = tmp_path / "data", tmp_path / "corpora"
    for folder in (data / "ours", data / "real", corpora):
        folder.mkdir(parents=True)
    return Folders(data, corpora)


def write(path: Path, *rows: dict[str, Any]) -> None:
    content = "\n".join(json.dumps(row) for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_translations(corpora: Path) -> None:
    """Two texts in Spanish (0, 2) and English (1, 3)."""
    label = "location general"
    write(
        corpora / "mabsa.jsonl.gz",
        native("mabsa-0", "Junto a la playa", lang="es", label=label), native("mabsa-1", "Next to the beach", label=label),
        native("mabsa-2", "Lejos del centro", lang="es", label=label), native("mabsa-3", "Far from the centre", label=label),
    )  # fmt: skip


def reference(id: str, split: str, **more: Any) -> dict[str, Any]:
    row = ours(id, "", split, **more)
    del row["text"]
    return row


def test_splits_go_where_they_belong(folders: Folders) -> None:
    write(folders.data / "ours/a.jsonl", ours("1", "uno dos"), ours("2", "tres cuatro", "calibration"), ours("3", "cinco seis", "dev"))
    data = load(recipe(OURS), Folders(folders.data, None), TAXONOMY)
    assert [r.id for r in data.train["ours"]] == ["1"]
    assert {split: [r.id for r in records] for split, records in data.held_back.items()} == {"calibration": ["2"], "dev": ["3"]}


def test_copies_of_held_back_texts_are_left_out_of_every_source(folders: Folders) -> None:
    assert folders.corpora
    write(
        folders.data / "ours/a.jsonl",
        ours("dev", "La caja llegó rota.", "dev"),
        ours("cal", "Todo perfecto, volveré", "calibration"),
        ours("copy", "LA CAJA llego rota!!"),
        ours("own", "La caja llegó entera."),
    )
    write(
        folders.corpora / "clinc.jsonl.gz",
        native("c1", "la caja llegó rota"), native("c2", "todo  perfecto volvere"), native("c3", "set a timer for me"),
    )  # fmt: skip
    data = load(recipe(OURS, CLINC), folders, TAXONOMY)
    assert [r.id for r in data.train["ours"]] == ["own"]
    assert [r.id for r in data.train["clinc"]] == ["c3"]
    assert data.left_out == {"ours": 1, "clinc": 2}


def test_the_corpora_s_own_development_texts_are_left_out(folders: Folders) -> None:
    assert folders.corpora
    write(
        folders.corpora / "clinc.jsonl.gz", native("c1", "wake me up"), native("c2", "Wake me up!", "dev"), native("c3", "stop the clock")
    )
    write(folders.corpora / "xed.jsonl.gz", native("x1", "Stop, the clock", "test", label="joy"))
    data = load(recipe(CLINC), folders, TAXONOMY)
    assert data.train["clinc"] == []
    assert data.left_out["clinc"] == 2


def test_translations_of_held_back_rows_are_left_out(folders: Folders) -> None:
    assert folders.corpora
    write_translations(folders.corpora)
    write(folders.data / "real/seed.jsonl", reference("mabsa-1", "dev"), reference("mabsa-3", "train"))
    data = load(recipe(SEED, MABSA), folders, TAXONOMY)
    assert [r.id for r in data.held_back["dev"]] == ["mabsa-1"]
    assert [r.id for r in data.train["seed"]] == ["mabsa-3"]
    assert [r.id for r in data.train["mabsa"]] == ["mabsa-2", "mabsa-3"]


def test_languages_of_a_corpus_can_be_chosen(folders: Folders) -> None:
    assert folders.corpora
    write(folders.corpora / "clinc.jsonl.gz", native("c1", "un reloj", lang="es"), native("c2", "a clock"))
    source = recipe({**CLINC, "languages": ["es"]}).sources[0]
    assert [r.id for r in read_source(source, folders, TAXONOMY)] == ["c1"]


@pytest.mark.parametrize("source", [CLINC, SEED])
def test_a_source_that_needs_the_corpora_says_so(folders: Folders, source: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"--corpora"):
        load(recipe(source), Folders(folders.data, None), TAXONOMY)


def test_a_source_without_files_says_so(folders: Folders) -> None:
    with pytest.raises(InputError, match="no such file"):
        load(recipe(OURS), folders, TAXONOMY)


def test_translations_share_the_labels_of_the_text_and_not_those_of_clauses(folders: Folders) -> None:
    assert folders.corpora
    write_translations(folders.corpora)
    place = {"start": 0, "end": 8}
    labels = {
        "emotions": ["satisfaction"], "touchpoints": ["premises"],
        "pairs": [{"touchpoint": "premises", "emotion": "satisfaction", **place}],
        "segments": [{"touchpoints": ["premises"], "emotions": ["satisfaction"], **place}],
    }  # fmt: skip
    write(folders.data / "real/a.jsonl", reference("mabsa-0", "train", **labels), reference("mabsa-2", "dev"))
    source = recipe({**SEED, "translations": True}).sources[0]
    original, translation, held_back = read_source(source, folders, TAXONOMY)
    assert (original.id, translation.id, held_back.id) == ("mabsa-0", "mabsa-1", "mabsa-2")  # a held-back row brings none
    assert (translation.text, translation.lang) == ("Next to the beach", "en")
    assert translation.positives == original.positives >= {"satisfaction", "premises"}
    assert original.exhaustive == {"emotions", "touchpoints"}
    assert {(span.start, span.end, span.labels) for span in original.spans} == {(0, 8, frozenset({"premises", "satisfaction"}))}
    assert (translation.spans, translation.exhaustive, translation.pairs) == ((), frozenset(), None)


def test_segments_outside_the_text_are_refused(folders: Folders) -> None:
    assert folders.corpora
    write(folders.corpora / "clinc.jsonl.gz", native("c1", "wake me up"))
    write(folders.corpora / "mabsa.jsonl.gz", native("mabsa-1", "Next to the beach", label="location general"))
    segment = {"touchpoints": ["premises"], "emotions": [], "start": 3, "end": 40}
    write(folders.data / "real/a.jsonl", reference("c1", "train", touchpoints=["premises"], segments=[segment]))
    with pytest.raises(InputError, match=r"segments: offsets 3-40 are not inside the text"):
        load(recipe(SEED), folders, TAXONOMY)
