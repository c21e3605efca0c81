"""Whatever is sent, the answer is an analysis or a problem, and never our own error."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlp_service.api.schemas import Analyses, Problem
from nlp_service.core.schema import Analysis

anything = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
words = st.text(st.characters(exclude_categories=()), max_size=60)  # lone surrogates and all
scalars = st.none() | st.booleans() | st.integers() | st.floats() | words
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4), max_leaves=12)
keys = st.sampled_from(["text", "id", "scores", "items", "one", "many"])
sentences = st.lists(
    st.sampled_from(["la entrega", "pero", "but", "the staff", "enfado", "trust", "\n", "…", "😡", "\x00", "\u202e"]) | words
).map(" ".join)
items = st.fixed_dictionaries({"text": sentences}, optional={"id": st.none() | words})
almost = st.dictionaries(keys, values | sentences | st.lists(items, max_size=3), max_size=4)
right = items | st.fixed_dictionaries({"items": st.lists(items, min_size=1, max_size=5)}, optional={"scores": st.booleans()})


def check(server, content: bytes):
    response = server.http.post("/v1/analyze", content=content, headers={"content-type": "application/json"})
    if response.status_code == 200:
        body = response.json()
        (Analyses if "results" in body else Analysis).model_validate(body)
    else:
        assert response.status_code in (400, 422)
        assert response.headers["content-type"] == "application/problem+json"
        Problem.model_validate_json(response.content)
    return response


@anything
@given(values | almost)
def test_any_json(server, body):
    check(server, json.dumps(body).encode())


@anything
@given(st.binary(max_size=200))
def test_any_bytes(server, content):
    check(server, content)


@anything
@given(right)
def test_any_text(server, body):
    ids = [item.get("id") or "" for item in body.get("items", [body])]
    response = check(server, json.dumps(body).encode())
    assert (response.status_code == 200) == all(_encodes(i) for i in ids)
    if response.status_code == 200:
        texts = [item["text"] for item in body.get("items", [body])]
        for text, analysis in zip(texts, response.json().get("results", [response.json()]), strict=True):
            for segment in analysis["segments"]:
                assert segment["text"] == _joined(text)[segment["start"] : segment["end"]]


def _encodes(text: str) -> bool:
    try:
        json.loads(json.dumps(text)).encode()
    except UnicodeEncodeError:
        return False
    return True


def _joined(text: str) -> str:
    """What arrives: JSON joins surrogates that happen to be a pair; those left over become U+FFFD."""
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in json.loads(json.dumps(text)))
