"""Fixtures of the API's tests."""

from collections.abc import Iterator

import pytest
from api_server import GatedRuntime, Running, running

from nlp_service.api.app import create_app
from nlp_service.pipeline import Pipeline


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    return Pipeline.load("fake")


@pytest.fixture(scope="session")
def server(pipeline: Pipeline) -> Iterator[Running]:
    with running(create_app(lambda: pipeline)) as it:
        yield it.ready()


@pytest.fixture
def gated() -> tuple[Pipeline, GatedRuntime]:
    """A pipeline of its own whose runtime waits at a gate that is still open."""
    pipeline = Pipeline.load("fake")
    runtime = GatedRuntime(pipeline.runtime)
    runtime.gate.set()
    pipeline.runtime = runtime
    return pipeline, runtime
