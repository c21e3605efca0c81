from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from nlp_service.core.errors import InputError
from training.corpora import load_mapping
from training.recipe import CorpusSource, load_recipe

SHIPPED = sorted(Path(str(files("training").joinpath("recipes"))).glob("*.yaml"))
MINIMAL: dict[str, Any] = {
    "name": "t",
    "sources": [{"name": "ours", "kind": "records", "paths": ["a/*.jsonl"]}],
    "optimisation": {"epochs": 2},
}


def write(tmp_path: Path, data: Any) -> Path:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(data), "utf-8")
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_parses_and_its_corpora_have_tables(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert len({source.name for source in recipe.sources}) == len(recipe.sources)
    for source in recipe.sources:
        if isinstance(source, CorpusSource):
            assert load_mapping(source.corpus).source == source.corpus


def test_there_are_shipped_recipes() -> None:
    assert {"cx-es-en", "cx-es-en-public"} <= {path.stem for path in SHIPPED}


def test_what_a_recipe_does_not_say_has_a_default(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, MINIMAL))
    assert recipe.encoder.source == "intfloat/multilingual-e5-small"
    assert recipe.encoder.trim is not None
    assert recipe.optimisation.freeze_word_embeddings is True
    assert recipe.sources[0].loss_weight == 1


@pytest.mark.parametrize(
    "where",
    [(), ("optimisation",), ("encoder",), ("encoder", "trim"), ("sources", 0)],
    ids=lambda where: ".".join(map(str, where)) or "top",
)
def test_an_unknown_key_is_an_error_that_names_it(tmp_path: Path, where: tuple[Any, ...]) -> None:
    data = {**MINIMAL, "encoder": {"trim": {}}, "optimisation": {"epochs": 2}, "sources": [dict(MINIMAL["sources"][0])]}
    place: Any = data
    for key in where:
        place = place[key]
    place["learning_rat"] = 1
    with pytest.raises(InputError, match=r"r\.yaml(?s:.*)learning_rat"):
        load_recipe(write(tmp_path, data))


@pytest.mark.parametrize(
    "wrong",
    [
        {"sources": []},
        {"optimisation": {}},
        {"optimisation": {"epochs": 0}},
        {"optimisation": {"epochs": 1, "label_smoothing": 0.5}},
        {"optimisation": {"epochs": 1, "precision": "int8"}},
        {"max_tokens": 8},
        {"max_tokens": 600},
        {"sources": [{"name": "x", "kind": "magic"}]},
        {"sources": [{"name": "x", "kind": "corpus", "corpus": "xed", "rows_per_epoch": 0}]},
        {"encoder": {"layers": 0}},
    ],
)
def test_a_value_out_of_range_is_an_error(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        load_recipe(write(tmp_path, {**MINIMAL, **wrong}))


def test_overrides_are_laid_over_and_parsed(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    overrides = {
        "optimisation.epochs": "5",
        "encoder.source": "offline",
        "encoder.trim.words": "100",
        "optimisation.learning_rate": "1.0e-3",
    }
    recipe = load_recipe(path, {**overrides, "encoder.trim.languages": "[es]"})
    assert (recipe.optimisation.epochs, recipe.encoder.source, recipe.optimisation.learning_rate) == (5, "offline", 1e-3)
    assert recipe.encoder.trim is not None
    assert (recipe.encoder.trim.words, recipe.encoder.trim.languages) == (100, ["es"])
    assert load_recipe(path, {"encoder.trim": "null"}).encoder.trim is None


@pytest.mark.parametrize("override", [{"optimisation.epoch": "5"}, {"optimisation.epochs": "many"}, {"sed": "1"}, {"name.first": "x"}])
def test_an_override_of_nothing_is_an_error(tmp_path: Path, override: dict[str, str]) -> None:
    with pytest.raises(InputError):
        load_recipe(write(tmp_path, MINIMAL), override)


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "a: [", "just words"])
def test_a_file_that_is_no_recipe_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=r"r\.yaml"):
        load_recipe(path)
    with pytest.raises(InputError, match=r"r\.yaml"):
        load_recipe(path, {"optimisation.epochs": "5"})


def test_a_missing_recipe_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone"):
        load_recipe(tmp_path / "gone.yaml")
