import json
from pathlib import Path
from typing import Any

import pytest

from nlp_service.core.errors import InputError
from nlp_service.core.taxonomy import Taxonomy
from nlp_service.pipeline import Pipeline
from training.behaviour import Case, Rate, derived_cases, raised_floors, rates_table, read_cases, run
from training.records import Record

TAXONOMY = Taxonomy.default()


def write(path: Path, *cases: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps({"capability": "negation", "lang": "en", **case}) + "\n" for case in cases))
    return path


@pytest.mark.parametrize(
    ("case", "fault"),
    [
        ({"id": "1", "texts": ["a"]}, "could not fail"),
        ({"id": "1", "texts": ["a", "b"], "expect": [{"has": ["joy"]}]}, "1 entries for 2 texts"),
        ({"id": "1", "texts": ["a"], "expect": [{"has": ["bliss"]}]}, "bliss"),
        ({"id": "1", "texts": ["a"], "same": True, "wants": 1}, "wants"),
    ],
)
def test_a_case_that_tests_nothing_is_refused(tmp_path: Path, case: dict[str, Any], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        read_cases([write(tmp_path / "c.jsonl", case)], TAXONOMY)


def test_cases_pass_and_fail_by_what_the_pipeline_answers() -> None:
    # The weightless model finds labels by their names.
    def case(id: str, *texts: str, same: bool = False, **wanted: Any) -> Case:
        expect = [] if not wanted else [wanted] * len(texts)
        return Case.model_validate({"id": id, "capability": "c", "lang": "en", "texts": texts, "expect": expect, "same": same})

    cases = [
        case("has", "The anger here is negative.", has=["anger"], sentiment="negative"),
        case("lacks", "The anger here is negative.", lacks=["anger"]),
        case("wrong sentiment", "The anger here is negative.", sentiment="positive"),
        case("alike", "The anger here is negative.", "Well, anger it is, and negative.", same=True),
        case("other label", "The anger here is negative.", "The relief here is negative.", same=True),
        case("other sentiment", "The anger here is negative.", "The anger here is positive.", same=True),
    ]
    rates = run(Pipeline.load("fake"), cases)
    assert rates["c", "en"].failed == ("lacks", "wrong sentiment", "other label", "other sentiment")
    assert "| c | 0.33 | 6 |" in rates_table(rates)


def test_derived_cases_change_the_text_and_want_it_read_alike() -> None:
    record = Record("r", "Qué CARO todo, dijo él.", "es", "s", "dev", frozenset(), frozenset())
    cases = {case.capability: case for case in derived_cases([record])}
    assert cases["accents and case removed"].texts == ["Qué CARO todo, dijo él.", "que caro todo, dijo el."]
    assert cases["repetition"].texts[1].count("CARO") == 2
    assert all(case.same and case.texts[0] != case.texts[1] for case in cases.values())
    assert list(derived_cases([record])) == list(cases.values())  # the same each time
    assert "capitals" not in {case.capability for case in derived_cases([Record("q", "CARO", "es", "s", "dev", frozenset(), frozenset())])}


def test_floors_rise_to_one_case_below_what_is_reached_and_never_sink() -> None:
    rates = {("irony", "en"): Rate(18, 24, ()), ("irony", "es"): Rate(2, 24, ()), ("typos", "es"): Rate(0, 5, ())}
    assert raised_floors({"irony": {"en": 0.1, "es": 0.5}, "emojis": {"es": 0.3}}, rates) == {
        "emojis": {"es": 0.3}, "irony": {"en": 0.7, "es": 0.5}, "typos": {"es": 0.0},
    }  # fmt: skip
