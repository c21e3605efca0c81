"""The application: routes, errors, middleware and the loading of the pipeline put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from anyio import create_task_group
from fastapi import FastAPI

from nlp_service.api import problems
from nlp_service.api.examples import RESPONSES
from nlp_service.api.limits import Limits
from nlp_service.api.middleware import BodyLimit, Guard
from nlp_service.api.routes import TAGS, router
from nlp_service.api.service import OnFailure, PipelineFactory, Service

_DESCRIPTION = """
Reads customer feedback in **Spanish and English**: which emotion about which moment of the customer journey, with the
clauses that show it and calibrated probabilities.

* A decision `auto` is meant to be acted on without a person: its thresholds aim at a precision of 95 %, and `GET /v1/model` tells
  what they reached. `suggest` is for a person to confirm. What is less sure is not shown.
* Offsets count Unicode code points of the text as it was sent.
* Every error is a problem (RFC 9457, `application/problem+json`) whose `type` ends in a stable code. No error and no log
  repeats what a customer wrote.
"""


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The description, with the schema that the problems of all routes share and with whole examples."""
        fresh = not self.openapi_schema
        schema = super().openapi()
        if fresh:
            schema["components"]["schemas"].update(problems.component_schemas())
            # FastAPI drops every null from the description, and with them required members of our examples.
            answer = schema["paths"]["/v1/analyze"]["post"]["responses"]["200"]
            answer["content"]["application/json"]["examples"] = RESPONSES
        return schema


def create_app(pipeline_factory: PipelineFactory, *, limits: Limits | None = None, on_failure: OnFailure | None = None) -> FastAPI:
    """An application that answers with the pipeline that `pipeline_factory` makes.

    The factory is called once, in a worker thread, when the server starts; until the pipeline has answered a warm-up, /health/ready
    and the routes that need it answer 503. `on_failure` is awaited with the exception if it cannot be loaded.
    """
    limits = limits or Limits()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = service = Service(pipeline_factory, limits)
        async with create_task_group() as tasks:
            tasks.start_soon(service.load, on_failure)
            yield
            tasks.cancel_scope.cancel()
        await service.close()

    app = _App(
        title="Customer feedback in Spanish and English",
        version=version("nlp-service"),
        description=_DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lifespan,
        redirect_slashes=False,
        redoc_url=None,
    )
    problems.install(app)
    app.include_router(router)
    app.add_middleware(BodyLimit, limits=limits)
    app.add_middleware(Guard)  # the last one added is the outermost
    return app
