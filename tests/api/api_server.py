"""The real server, on a free port of this machine, in a thread, and what tests ask of its answers."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from nlp_service.api.schemas import Problem
from nlp_service.api.serve import make_server


def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Waits for `condition`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@dataclass
class Running:
    server: uvicorn.Server
    app: FastAPI
    http: httpx.Client
    thread: threading.Thread

    def ready(self) -> "Running":
        until(lambda: self.http.get("/health/ready").status_code == 200)
        return self

    def analyze(self, body: Any) -> httpx.Response:
        return self.http.post("/v1/analyze", json=body)


@contextmanager
def running(app: FastAPI) -> Iterator[Running]:
    """Starts a server for `app`; leaving waits until it has shut down."""
    server = make_server(app, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
        yield Running(server, app, http, thread)
    server.should_exit = True
    thread.join(60)
    assert not thread.is_alive()


@contextmanager
def recorded() -> Iterator[Callable[[], str]]:
    """What the service and uvicorn log meanwhile, as text."""
    lines: list[str] = []

    class Record(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(logging.Formatter().format(record))

    handler, loggers = Record(), [logging.getLogger(name) for name in ("nlp_service", "uvicorn")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield lambda: "\n".join(lines)
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


@dataclass
class GatedRuntime:
    """The fake runtime behind a gate: while it is closed, inference waits."""

    inner: Any
    gate: threading.Event = field(default_factory=threading.Event)
    entered: int = 0
    description: str = "gated"

    def infer(self, windows: Any) -> Any:
        self.entered += 1
        assert self.gate.wait(60)
        return self.inner.infer(windows)


def assert_problem(response: httpx.Response, status: int, code: str) -> Problem:
    """That the answer is a problem of this kind, as RFC 9457 has it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert set(response.json()) <= {"type", "title", "status", "detail", "errors"}
    problem = Problem.model_validate_json(response.content)
    assert problem.status == status
    assert problem.type == f"urn:nlp-service:problem:{code}"
    assert problem.title
    return problem
