from importlib.metadata import version

import pytest

from nlp_service.api.examples import REQUESTS, RESPONSES
from nlp_service.api.schemas import Analyses, AnalyzeRequest
from nlp_service.core.schema import Analysis
from nlp_service.core.taxonomy import Taxonomy


@pytest.fixture(scope="module")
def description(server):
    return server.http.get("/openapi.json").json()


def operations(description):
    return [(path, method, operation) for path, methods in description["paths"].items() for method, operation in methods.items()]


def test_says_what_it_is(description):
    assert description["info"]["version"] == version("nlp-service")
    assert "Spanish" in description["info"]["description"]
    tags = {tag["name"] for tag in description["tags"]}
    assert {path for path, _, _ in operations(description)} == {
        "/v1/analyze", "/v1/taxonomy", "/v1/model", "/health/live", "/health/ready",
    }  # fmt: skip
    for _, _, operation in operations(description):
        assert set(operation["tags"]) <= tags
        assert operation["summary"]
        assert operation["description"]


def test_every_route_describes_its_problems(description):
    described = {path: {int(s) for s in operation["responses"]} for path, _, operation in operations(description)}
    assert described == {
        "/v1/analyze": {200, 400, 413, 415, 422, 429, 500, 503},
        "/v1/taxonomy": {200, 500, 503},
        "/v1/model": {200, 500, 503},
        "/health/live": {200, 500},
        "/health/ready": {200, 500, 503},
    }
    for _, _, operation in operations(description):
        for status, response in operation["responses"].items():
            if status != "200":
                assert response["content"] == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert description["components"]["schemas"]["Problem"]["required"] == ["type", "title", "status"]


def test_every_reference_leads_somewhere(description):
    def references(node):
        if isinstance(node, dict):
            yield from (value for key, value in node.items() if key == "$ref")
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    names = {reference.removeprefix("#/components/schemas/") for reference in references(description)}
    assert names <= description["components"]["schemas"].keys()
    assert {"OneText", "ManyTexts", "FieldError"} <= names


def test_both_forms_are_described(description):
    schemas = description["components"]["schemas"]
    assert schemas["AnalyzeRequest"]["oneOf"] == [{"$ref": "#/components/schemas/OneText"}, {"$ref": "#/components/schemas/ManyTexts"}]
    assert schemas["OneText"]["additionalProperties"] is False
    assert schemas["OneText"]["properties"]["text"]["maxLength"] == 100_000
    items = schemas["ManyTexts"]["properties"]["items"]
    assert (items["minItems"], items["maxItems"]) == (1, 256)


@pytest.mark.parametrize("name", REQUESTS)
def test_request_examples_are_answered(server, description, name):
    media = description["paths"]["/v1/analyze"]["post"]["requestBody"]["content"]["application/json"]
    body = media["examples"][name]["value"]
    AnalyzeRequest.model_validate(body)
    response = server.analyze(body)
    assert response.status_code == 200
    (Analyses if "items" in body else Analysis).model_validate_json(response.content)


def test_examples_are_in_both_languages(server):
    languages = {server.analyze(REQUESTS[name]["value"]).json()["language"] for name in ("one-es", "one-en")}
    assert languages == {"es", "en"}


def answers():
    one = [(REQUESTS[name]["value"]["text"], RESPONSES[name]["value"]) for name in ("one-es", "one-en")]
    texts = [item["text"] for item in REQUESTS["many"]["value"]["items"]]
    return [*one, *zip(texts, RESPONSES["many"]["value"]["results"], strict=True)]


@pytest.mark.parametrize(("text", "example"), answers())
def test_response_examples_could_be_real(server, description, text, example):
    assert description["paths"]["/v1/analyze"]["post"]["responses"]["200"]["content"]["application/json"]["examples"] == RESPONSES
    analysis = Analysis.model_validate(example)
    assert analysis.model_dump(mode="json") == example  # no key more, none less
    real = server.analyze({"text": text}).json()
    assert (real["status"], real["language"]) == (analysis.status, analysis.language)
    assert [(s["start"], s["end"], s["text"]) for s in real["segments"]] == [(s.start, s.end, s.text) for s in analysis.segments]
    for pair in analysis.pairs:
        assert all(text[span.start : span.end] == span.text for span in pair.evidence)
    taxonomy = Taxonomy.default()
    assert {e.label: e.cluster for e in analysis.emotions}.items() <= {e.id: e.cluster for e in taxonomy.emotions}.items()
    assert {t.label: t.stage for t in analysis.touchpoints}.items() <= {t.id: t.stage for t in taxonomy.touchpoints}.items()
    assert {s.label for s in analysis.signals} <= {s.id for s in taxonomy.signals}
    if analysis.sentiment:
        assert list(analysis.sentiment.probabilities) == [label.id for label in taxonomy.sentiment]
        assert sum(analysis.sentiment.probabilities.values()) == pytest.approx(1)
        by = analysis.sentiment.probabilities
        assert analysis.sentiment.score == pytest.approx(by["positive"] - by["negative"])
        assert analysis.sentiment.label == max(by, key=by.__getitem__)


def test_docs_page(server):
    assert server.http.get("/docs").status_code == 200
