import json
import socket
from collections.abc import Iterator

import pytest
from api_server import assert_problem, recorded, running

from nlp_service.api.app import create_app
from nlp_service.api.limits import MAX_ERRORS, Limits
from nlp_service.core.errors import BundleError, InputError
from nlp_service.pipeline import Pipeline

CANARY = "xq7canaryxq7"
JSON = {"content-type": "application/json"}


def post(server, content, headers=JSON):
    return server.http.post("/v1/analyze", content=content, headers=headers)


def test_no_such_route(server):
    for path in ("/", "/v1/nope", "/v1/analyze/", "/v1/analyze/" + CANARY):
        assert CANARY not in server.http.get(path).text
        assert_problem(server.http.get(path), 404, "not-found")


def test_no_such_method(server):
    response = server.http.delete("/v1/model")
    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "GET"
    assert_problem(server.http.get("/v1/analyze"), 405, "method-not-allowed")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["#/text"]),
        ([], ["#"]),
        ("text", ["#"]),
        (None, ["#"]),
        ({"text": None}, ["#/text"]),
        ({"text": 3}, ["#/text"]),
        ({"text": ["a"]}, ["#/text"]),
        ({"text": "a" * 100_001}, ["#/text"]),
        ({"text": "a", "id": 7}, ["#/id"]),
        ({"text": "a", "id": "a" * 257}, ["#/id"]),
        ({"text": "a", "id": "\ud83d"}, ["#/id"]),
        ({"text": "a", "scores": "yes"}, ["#/scores"]),
        ({"text": "a", "scores": 1}, ["#/scores"]),
        ({"text": "a", "many": 1}, ["#"]),
        ({"text": "a", "items": [{"text": "a"}]}, ["#"]),
        ({"items": []}, ["#/items"]),
        ({"items": {}}, ["#/items"]),
        ({"items": None}, ["#/items"]),
        ({"items": [{"text": "a"}] * 257}, ["#/items"]),
        ({"items": [{"text": "a"}, "a", {"text": "a", "scores": True}, {"id": "many"}]}, ["#/items/1", "#/items/2", "#/items/3/text"]),
        ({"items": [{"text": "a"}], "scores": None}, ["#/scores"]),
    ],
)
def test_invalid_fields_are_named(server, body, pointers):
    problem = assert_problem(post(server, json.dumps(body).encode()), 422, "input-invalid")
    assert [error.pointer for error in problem.errors] == pointers
    assert all(error.detail for error in problem.errors)


def test_an_unknown_key_is_answered_with_the_known_ones(server):
    problem = assert_problem(server.analyze({"text": "a", CANARY: 1}), 422, "input-invalid")
    assert [e.model_dump() for e in problem.errors] == [
        {"pointer": "#", "detail": "Has an unknown key; the known ones are id, text, scores"}
    ]


def test_few_of_many_errors_are_listed(server):
    problem = assert_problem(server.analyze({"items": [{}] * 200}), 422, "input-invalid")
    assert len(problem.errors) == MAX_ERRORS
    assert "200 fields" in problem.detail


def test_the_longest_text_is_taken(server):
    assert server.analyze({"text": "a " * 50_000}).status_code == 200


def test_an_empty_body(server):
    assert_problem(post(server, b""), 422, "input-invalid")


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b'{"text": xq7canaryxq7}',
        b'{"text": "\xff\xfe"}',
        b'{"text": "a",}',
        b"9" * 10_000,
        b"\x00",
        b'{"text": ' * 5_000,
        b"[" * 10_000_000,
        b'{"items": [{"text": ' + b"[" * 5_000_000 + b"]" * 5_000_000 + b"}]}",
    ],
    ids=["open", "word", "bytes", "comma", "number", "nul", "deep objects", "10 MB deep", "10 MB deep inside"],
)
def test_what_is_no_json(server, content):
    response = post(server, content)
    assert_problem(response, 400, "bad-request")
    assert CANARY not in response.text


def test_depth_that_json_bears_is_only_a_wrong_field(server):
    problem = assert_problem(post(server, b'{"text": ' + b"[" * 500 + b"]" * 500 + b"}"), 422, "input-invalid")
    assert problem.errors[0].pointer == "#/text"


def test_not_a_number_is_no_text(server):
    assert_problem(post(server, b'{"text": NaN}'), 422, "input-invalid")


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "", "json", CANARY]
)
def test_other_media_types(server, media_type):
    response = post(server, b'{"text": "a"}', {"content-type": media_type})
    assert_problem(response, 415, "unsupported-media-type")
    assert CANARY not in response.text


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 65_536):
        yield b" " * 65_536


def test_a_body_that_is_too_large(server):
    assert_problem(post(server, b" " * (10 * 1024 * 1024 + 1)), 413, "content-too-large")


def test_a_body_that_is_too_large_and_does_not_say_so(server):
    assert_problem(post(server, chunks(11 * 1024 * 1024)), 413, "content-too-large")
    assert server.analyze({"text": "después todo sigue igual"}).status_code == 200


def test_a_body_of_exactly_the_limit(server):
    body = b'{"text": "la entrega fue puntual"}'
    assert post(server, body + b" " * (10 * 1024 * 1024 - len(body))).status_code == 200


def test_a_large_body_to_another_route(server):
    assert_problem(server.http.post("/v1/nope", content=b" " * (11 * 1024 * 1024)), 413, "content-too-large")


def test_what_is_larger_than_we_would_throw_away_is_not_read(pipeline):
    with running(create_app(lambda: pipeline, limits=Limits(body_bytes=10, drain_bytes=20))) as server:
        # Announced and never sent: an answer shows that nothing was waited for.
        for headers in (b"content-length: 1000000", b"content-length: 15\r\nexpect: 100-continue"):
            with socket.create_connection((server.http.base_url.host, server.http.base_url.port), 10) as connection:
                connection.sendall(b"POST /v1/analyze HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n" + headers + b"\r\n\r\n")
                answer = b"".join(iter(lambda connection=connection: connection.recv(65_536), b""))
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert b"content-too-large" in answer


class Raising(Pipeline):
    """Raises what the text asks for, with the text in the message as careless code would."""

    def start(self, feedback):
        kinds = {"input": InputError, "bundle": BundleError, "runtime": RuntimeError}
        for item in feedback:
            if item.text in kinds:
                raise kinds[item.text](f"{item.id} {item.text}") from ValueError(item.id)
        return super().start(feedback)


@pytest.fixture(scope="module")
def raising():
    with running(create_app(lambda: Raising.load("fake"))) as server:
        yield server.ready()


@pytest.mark.parametrize(("text", "code"), [("bundle", "bundle-refused"), ("runtime", "internal-error")])
def test_our_own_faults_say_nothing(raising, text, code):
    with recorded() as log:
        problem = assert_problem(raising.analyze({"text": text, "id": CANARY}), 500, code)
        assert problem.detail is None
    assert "in start" in log()  # where it came from is logged
    assert "ValueError" in log()
    assert CANARY not in log()


def test_the_server_lives_after_an_error(raising):
    raising.analyze({"text": "runtime"})
    assert raising.analyze({"text": "la entrega fue puntual"}).status_code == 200
    assert raising.app.state.service.in_flight == 0


def test_errors_that_the_caller_can_mend_are_explained(raising):
    problem = assert_problem(raising.analyze({"text": "input", "id": "n 7"}), 422, "input-invalid")
    assert problem.detail == "n 7 input"


def test_no_word_of_a_request_in_an_error(server):
    bodies = [
        {"text": {CANARY: CANARY}},
        {"text": [CANARY]},
        {"text": CANARY * 10_000},
        {"text": "a", "id": [CANARY]},
        {"text": "a", "id": CANARY * 1000},
        {"text": "a", "scores": CANARY},
        {"text": "a", CANARY: CANARY},
        {"items": CANARY},
        {"items": [CANARY]},
        {"items": [{"text": CANARY, CANARY: CANARY}]},
        {"items": [{"id": CANARY}]},
        [CANARY],
        CANARY,
    ]
    for body in bodies:
        response = server.analyze(body)
        assert_problem(response, 422, "input-invalid")
        assert CANARY not in response.text
