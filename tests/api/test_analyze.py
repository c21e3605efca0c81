import json

import pytest
from api_server import running

from nlp_service.api.app import create_app
from nlp_service.core.schema import Analysis, Feedback
from nlp_service.core.taxonomy import HEADS
from nlp_service.pipeline import Pipeline

SPANISH = "La entrega llegó tarde y sentí frustración, pero el personal me dio confianza."
ENGLISH = "The delivery came late and I felt frustration, but the staff gave me trust."


@pytest.mark.parametrize(("text", "language"), [(SPANISH, "es"), (ENGLISH, "en")])
def test_one_text(server, text, language):
    response = server.analyze({"id": "t-1", "text": text})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    analysis = response.json()
    assert (analysis["id"], analysis["status"], analysis["language"]) == ("t-1", "ok", language)
    assert {e["label"] for e in analysis["emotions"]} == {"frustration", "trust"}
    assert {t["label"] for t in analysis["touchpoints"]} >= {"delivery", "staff"}
    assert [s["text"] for s in analysis["segments"]] == [text[s["start"] : s["end"]] for s in analysis["segments"]]
    assert len(analysis["segments"]) == 2
    assert analysis["model"] == {"name": "fake", "version": "0", "taxonomy": 1}


def test_the_answer_is_exactly_what_the_pipeline_says(server, pipeline):
    for scores in (False, True):
        expected = pipeline.analyze([Feedback(id="x", text=SPANISH)], scores=scores)[0].model_dump(mode="json")
        assert server.analyze({"id": "x", "text": SPANISH, "scores": scores}).json() == expected


def test_many_texts_come_back_in_order(server, pipeline):
    items = [{"id": f"n-{i}", "text": SPANISH if i % 3 else "" if i % 2 else ENGLISH} for i in range(256)]
    results = server.analyze({"items": items}).json()["results"]
    assert [r["id"] for r in results] == [item["id"] for item in items]
    expected = pipeline.analyze([Feedback.model_validate(item) for item in items])
    assert results == [analysis.model_dump(mode="json") for analysis in expected]


def test_ids_are_optional_and_may_repeat(server):
    results = server.analyze({"items": [{"text": ENGLISH}, {"id": "a", "text": ENGLISH}, {"id": "a", "text": ENGLISH}]}).json()["results"]
    assert [r["id"] for r in results] == [None, "a", "a"]


def test_scores_are_there_only_when_asked_for(server, pipeline):
    assert "scores" not in server.analyze({"text": SPANISH}).json()
    assert "scores" not in server.analyze({"items": [{"text": SPANISH}]}).json()["results"][0]
    for analysis in (
        server.analyze({"text": SPANISH, "scores": True}).json(),
        server.analyze({"items": [{"text": SPANISH}], "scores": True}).json()["results"][0],
    ):
        assert {head: list(scores) for head, scores in analysis["scores"].items()} == {
            head: [label.id for label in pipeline.taxonomy.labels(head)] for head in HEADS
        }


@pytest.mark.parametrize("text", ["", "   \n", "!!! 10/10", "😡😡😡", "\u200b\u202e", "\x00"])
def test_no_text(server, text):
    analysis = server.analyze({"text": text}).json()
    assert (analysis["status"], analysis["sentiment"]) == ("no_text", None)
    assert analysis["emotions"] == analysis["touchpoints"] == analysis["segments"] == analysis["pairs"] == []


def test_unsupported_language(server):
    results = server.analyze(
        {"items": [{"text": "Die Lieferung kam leider viel zu spät bei uns an und niemand hat geantwortet."}, {"text": ENGLISH}]}
    ).json()["results"]
    assert [r["status"] for r in results] == ["language_unsupported", "ok"]
    assert (results[0]["language"], results[0]["sentiment"], results[0]["segments"]) == ("other", None, [])


@pytest.mark.parametrize(
    "text",
    [
        "Gracias\x00 por la entrega \u202epuntual\u202c y el\u200bpersonal 👩‍👩‍👧 amable.",
        "\ufeffHola, la entrega tarda \u2028 mucho \u0085 otra vez",
        "palabra" * 14_000,
        "<script>alert('entrega')</script> '; DROP TABLE feedback; -- mi pedido no llega",
    ],
)
def test_odd_characters_keep_their_offsets(server, text):
    analysis = server.analyze({"text": text}).json()
    assert analysis["status"] == "ok"
    assert analysis["segments"]
    for segment in analysis["segments"]:
        assert segment["text"] == text[segment["start"] : segment["end"]]


def test_half_an_emoji_costs_one_character_not_the_text(server):
    body = '{"text": "La entrega tarda mucho \\ud83d otra vez, pero el personal me ayuda"}'
    response = server.http.post("/v1/analyze", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 200
    analysis = Analysis.model_validate_json(response.content)
    assert "\ufffd" in analysis.segments[0].text
    assert {t.label for t in analysis.touchpoints} >= {"delivery", "staff"}


@pytest.mark.parametrize(
    "media_type", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.x+json"]
)
def test_json_by_any_of_its_names(server, media_type):
    body = json.dumps({"text": ENGLISH}).encode()
    assert server.http.post("/v1/analyze", content=body, headers={"content-type": media_type}).status_code == 200


def test_taxonomy(server, pipeline):
    taxonomy = server.http.get("/v1/taxonomy").json()
    assert taxonomy == pipeline.taxonomy.model_dump(mode="json")
    touchpoint = {t["id"]: t for t in taxonomy["touchpoints"]}["staff"]
    assert touchpoint == {"id": "staff", "es": "personal", "en": "staff", "stage": "purchase", "clue": "humanic"}
    assert {e["id"]: e["cluster"] for e in taxonomy["emotions"]}["trust"] == "recommendation"


def test_model_without_a_manifest(server, pipeline):
    model = server.http.get("/v1/model").json()
    assert {k: v for k, v in model.items() if k != "thresholds"} == {
        "name": "fake", "version": "0", "taxonomy": 1, "languages": ["es", "en"], "runtime": "fake", "created": None, "metrics": None,
    }  # fmt: skip
    assert model["thresholds"].keys() == pipeline.thresholds.keys()
    assert model["thresholds"]["anger"]["auto"] == {"threshold": 0.9, "precision": None, "recall": None, "support": 0}


def test_model_with_a_manifest(tiny_bundle_folder):
    pipeline = Pipeline.load(tiny_bundle_folder)
    with running(create_app(lambda: pipeline)) as server:
        model = server.ready().http.get("/v1/model").json()
        analysis = Analysis.model_validate(server.analyze({"text": SPANISH}).json())
    manifest = pipeline.manifest
    assert model["metrics"] == manifest.metrics
    assert (model["created"], model["runtime"]) == (manifest.created, pipeline.runtime.description)
    assert model["thresholds"] == {label: bands.model_dump() for label, bands in manifest.thresholds.items()}
    assert analysis.model == pipeline.info


def test_health(server):
    assert server.http.get("/health/live").json() == {"status": "live"}
    assert server.http.get("/health/ready").json() == {"status": "ready"}
