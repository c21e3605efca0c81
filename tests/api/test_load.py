"""What happens while the server is busy, is loading or goes away."""

import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import httpx
import pytest
from api_server import assert_problem, recorded, running, until

from nlp_service.api.app import create_app
from nlp_service.api.limits import Limits
from nlp_service.core.errors import BundleError
from nlp_service.pipeline import Pipeline

BODY = {"text": "La entrega llegó tarde y el personal no ayudó."}


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as pool:
        yield pool


def held_up(server, runtime, pool):
    """A request that the closed gate holds inside the model, and how many calls the model had had before it."""
    runtime.gate.clear()
    before = runtime.entered
    request = pool.submit(server.analyze, BODY)
    until(lambda: runtime.entered > before)
    return request, before


def test_too_many_requests(gated, pool):
    pipeline, runtime = gated
    with running(create_app(lambda: pipeline, limits=Limits(requests=2, retry_after=7))) as server:
        server.ready()
        first, _ = held_up(server, runtime, pool)
        others = [pool.submit(server.analyze, BODY) for _ in range(2)]
        done, waiting = wait(others, 60, FIRST_COMPLETED)
        refused = done.pop().result()
        assert_problem(refused, 429, "too-many-requests")
        assert refused.headers["retry-after"] == "7"
        assert not first.done()
        runtime.gate.set()
        assert [first.result().status_code, waiting.pop().result().status_code] == [200, 200]
        assert server.analyze(BODY).status_code == 200  # the refused one holds no place


def test_the_event_loop_stays_free(gated, pool):
    pipeline, runtime = gated
    with running(create_app(lambda: pipeline)) as server:
        server.ready()
        blocked, _ = held_up(server, runtime, pool)
        assert server.http.get("/health/live").status_code == 200
        assert server.http.get("/v1/model").status_code == 200
        assert not blocked.done()
        runtime.gate.set()
        assert blocked.result().status_code == 200


def test_no_work_for_a_caller_who_left(gated, pool):
    pipeline, runtime = gated
    with running(create_app(lambda: pipeline, limits=Limits())) as server, recorded() as log:
        service = server.ready().app.state.service
        first, warmed = held_up(server, runtime, pool)
        with httpx.Client(base_url=server.http.base_url, trust_env=False) as impatient:
            left = pool.submit(impatient.post, "/v1/analyze", json=BODY, timeout=httpx.Timeout(10, read=1))
            until(lambda: service.in_flight == 2)
            with pytest.raises(httpx.ReadTimeout):
                left.result()
        until(lambda: "POST /v1/analyze 499" in log())
        runtime.gate.set()
        assert first.result().status_code == 200
        until(lambda: service.in_flight == 0)
        assert runtime.entered == warmed + 1


def test_accepted_requests_are_finished_before_the_server_goes(gated, pool):
    pipeline, runtime = gated
    with running(create_app(lambda: pipeline)) as server:
        server.ready()
        blocked, _ = held_up(server, runtime, pool)
        server.server.should_exit = True
        until(lambda: not server.server.servers[0].is_serving())
        runtime.gate.set()
        assert blocked.result().status_code == 200


def test_not_ready_before_the_model_is_loaded_and_warm(gated):
    pipeline, runtime = gated
    may_load = threading.Event()
    runtime.gate.clear()

    def load() -> Pipeline:
        assert may_load.wait(60)
        return pipeline

    def not_ready() -> None:
        assert server.http.get("/health/live").status_code == 200
        for response in (*map(server.http.get, ("/health/ready", "/v1/model", "/v1/taxonomy")), server.analyze(BODY)):
            assert_problem(response, 503, "not-ready")

    with running(create_app(load)) as server:
        not_ready()
        may_load.set()
        until(lambda: runtime.entered)
        not_ready()  # loaded, but the warm-up has not come back
        runtime.gate.set()
        server.ready()
        assert server.analyze(BODY).status_code == 200


def test_a_model_that_cannot_be_loaded():
    may_fail = threading.Event()

    def load() -> Pipeline:
        assert may_fail.wait(60)
        raise BundleError("/secret/place: its sha256 is not the one in manifest.json")

    seen = []

    async def on_failure(error: Exception) -> None:
        seen.append(error)

    with running(create_app(load, on_failure=on_failure)) as server, recorded() as log:
        may_fail.set()
        until(lambda: seen)
        assert "secret" not in assert_problem(server.http.get("/health/ready"), 503, "not-ready").detail
        assert_problem(server.analyze(BODY), 503, "not-ready")
    assert isinstance(seen[0], BundleError)
    assert "/secret/place" in log()


def test_leaving_while_the_model_is_loaded():
    gate = threading.Event()

    def load() -> Pipeline:
        assert gate.wait(60)
        raise AssertionError("nobody waits for this any more")

    with running(create_app(load)) as server:
        server.server.should_exit = True
        server.thread.join(60)
        assert not server.thread.is_alive()
    gate.set()
