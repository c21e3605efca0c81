import copy
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
import yaml

from nlp_service.core.errors import TaxonomyError
from nlp_service.core.taxonomy import HEADS, Taxonomy


@pytest.fixture
def data() -> dict[str, Any]:
    return yaml.safe_load(files("nlp_service.core").joinpath("taxonomy.yaml").read_text("utf-8"))


def test_the_shipped_taxonomy_has_the_labels_of_the_guide() -> None:
    taxonomy = Taxonomy.default()
    assert (len(taxonomy.emotions), len(taxonomy.touchpoints), len(taxonomy.sentiment), len(taxonomy.signals)) == (15, 16, 4, 5)
    assert taxonomy.version == 1
    assert taxonomy.languages == ("es", "en")
    assert [x.id for x in taxonomy.sentiment] == ["negative", "neutral", "positive", "mixed"]
    assert {x.id for x in taxonomy.signals} == {"churn", "advocacy", "detraction", "urgency", "escalation"}


def test_every_label_has_a_name_in_both_languages() -> None:
    taxonomy = Taxonomy.default()
    assert all(label.es.strip() and label.en.strip() for head in HEADS for label in taxonomy.labels(head))


def test_emotions_carry_shaws_clusters_and_touchpoints_a_stage_of_the_journey() -> None:
    taxonomy = Taxonomy.default()
    assert {e.cluster for e in taxonomy.emotions} == {"destroying", "attention", "recommendation", "advocacy"}
    assert all(e.valence == -1 for e in taxonomy.emotions if e.cluster == "destroying")
    assert all(e.valence == 1 for e in taxonomy.emotions if e.cluster in ("recommendation", "advocacy"))
    assert {t.stage for t in taxonomy.touchpoints} == set(taxonomy.stages)
    assert {t.clue for t in taxonomy.touchpoints} == {"functional", "mechanic", "humanic"}


def test_label_order_slices_and_index_agree() -> None:
    taxonomy = Taxonomy.default()
    assert len(taxonomy.label_ids) == 40
    for head in HEADS:
        assert taxonomy.label_ids[taxonomy.slices[head]] == tuple(label.id for label in taxonomy.labels(head))
    assert all(taxonomy.label_ids[i] == label for label, i in taxonomy.index.items())
    assert len(taxonomy.index) == 40


def test_a_taxonomy_survives_json(data: dict[str, Any]) -> None:
    taxonomy = Taxonomy.parse(data)
    assert Taxonomy.parse(taxonomy.model_dump(mode="json")) == taxonomy


def _copy_of_first(data: dict[str, Any], head: str, **changes: Any) -> None:
    data[head].append({**data[head][0], **changes})


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "id twice in a head": (lambda d: _copy_of_first(d, "emotions"), "anger"),
    "id in two heads": (lambda d: _copy_of_first(d, "signals", id="price"), "price"),
    "reserved id": (lambda d: _copy_of_first(d, "touchpoints", id="general"), "general"),
    "unknown stage": (lambda d: d["touchpoints"][0].update(stage="afterlife"), "afterlife"),
    "unknown key of the file": (lambda d: d.update(moods=[]), "moods"),
    "unknown key of a label": (lambda d: d["emotions"][0].update(colour="red"), "colour"),
    "no Spanish name": (lambda d: d["signals"][0].pop("es"), "es"),
    "no English name": (lambda d: d["sentiment"][0].pop("en"), "en"),
    "no id": (lambda d: d["emotions"][3].pop("id"), "emotions.3.id"),
    "no cluster": (lambda d: d["emotions"][0].pop("cluster"), "cluster"),
    "valence out of range": (lambda d: d["emotions"][0].update(valence=2), "valence"),
    "unknown clue": (lambda d: d["touchpoints"][0].update(clue="magic"), "clue"),
    "no version": (lambda d: d.pop("version"), "version"),
    "version no number": (lambda d: d.update(version="one"), "version"),
    "no head": (lambda d: d.pop("signals"), "signals"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_rule_is_an_error_that_names_it(data: dict[str, Any], fault: str) -> None:
    edit, named = FAULTS[fault]
    broken = copy.deepcopy(data)
    edit(broken)
    with pytest.raises(TaxonomyError, match=named):
        Taxonomy.parse(broken)


@pytest.mark.parametrize("nothing", [None, [], "emotions", 3])
def test_what_is_no_object_is_a_taxonomy_error(nothing: Any) -> None:
    with pytest.raises(TaxonomyError):
        Taxonomy.parse(nothing)


def test_labels_are_data(data: dict[str, Any]) -> None:
    data["emotions"] = data["emotions"][:2]
    data["signals"].append({"id": "praise_of_rival", "es": "elogio del rival", "en": "praise of a rival"})
    taxonomy = Taxonomy.parse(data)
    assert taxonomy.label_ids[:2] == ("anger", "frustration")
    assert taxonomy.label_ids[-1] == "praise_of_rival"
    assert taxonomy.slices["touchpoints"] == slice(2, 18)
