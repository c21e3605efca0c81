"""What the shipped bundle can do, capability by capability, may only get better: data/behaviour/floors.json only rises."""

import json
from pathlib import Path

import pytest

from nlp_service.core.taxonomy import Taxonomy
from nlp_service.pipeline import Pipeline
from training.behaviour import Rate, all_cases, run

DATA = Path(__file__).parents[1] / "data"
FLOORS: dict[str, dict[str, float]] = json.loads((DATA / "behaviour/floors.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def rates() -> dict[tuple[str, str], Rate]:
    records = [*sorted((DATA / "authored").glob("*.jsonl")), *sorted((DATA / "original").glob("*.jsonl"))]
    pipeline = Pipeline.load(DATA.parent / "models/cx-es-en", precision="fp32")  # the same rates on every machine
    return run(pipeline, all_cases(sorted((DATA / "behaviour").glob("*.jsonl")), records, Taxonomy.default()))


@pytest.mark.bundle
def test_every_capability_has_a_floor(rates: dict[tuple[str, str], Rate]) -> None:
    assert {(name, lang) for name, floors in FLOORS.items() for lang in floors} == set(rates)


@pytest.mark.bundle
@pytest.mark.parametrize(("capability", "lang"), [(name, lang) for name, floors in FLOORS.items() for lang in floors])
def test_no_capability_falls_under_its_floor(capability: str, lang: str, rates: dict[tuple[str, str], Rate]) -> None:
    rate = rates[capability, lang]
    assert rate.share >= FLOORS[capability][lang], f"fail: {', '.join(rate.failed)}"
