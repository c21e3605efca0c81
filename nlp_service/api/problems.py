"""Every error of the API as application/problem+json (RFC 9457), and none that repeats what the request said."""

import logging
import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException

from nlp_service.api.limits import MAX_ERRORS
from nlp_service.api.schemas import MANY, ONE, FieldError, Problem
from nlp_service.core.errors import ServiceError

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:nlp-service:problem:"
_log = logging.getLogger(__name__)


class ApiError(ServiceError):
    """An error of the API itself; its message is for the caller. `retry_after` is in seconds."""

    retry_after: int | None = None


class NotReadyError(ApiError):
    """The model is not loaded yet, or could not be."""

    code = "not-ready"
    status = 503


class BusyError(ApiError):
    """Too many requests wait already."""

    code = "too-many-requests"
    status = 429

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many requests are waiting; try again in {retry_after} s.")
        self.retry_after = retry_after


class BodyTooLargeError(ApiError):
    """The body is longer than the server reads."""

    code = "content-too-large"
    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body may have at most {limit} bytes.")


class NotJsonError(ApiError):
    """The body does not say that it is JSON."""

    code = "unsupported-media-type"
    status = 415


class ClientGoneError(ApiError):
    """The caller left while its request waited. Nobody reads this answer; the access log shows it."""

    code = "client-closed-request"
    status = 499


def problem(
    code: str, status: int, detail: str | None = None, *, errors: list[FieldError] | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The response for one error. `code` is kebab-case; the title is made of it, so one type always has one title."""
    body = Problem(type=_TYPE + code, title=code.replace("-", " ").capitalize(), status=status, detail=detail, errors=errors)
    return Response(body.model_dump_json(exclude_none=True), status, headers, MEDIA_TYPE)


def service_problem(error: ServiceError) -> Response:
    """The response for a ServiceError: with its message, unless it is our own fault (500), which only the log explains."""
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log_unexpected(error)
        return problem(error.code, error.status)
    retry_after = getattr(error, "retry_after", None)
    return problem(error.code, error.status, str(error), headers={"Retry-After": str(retry_after)} if retry_after else None)


def log_unexpected(error: BaseException) -> None:
    """Logs where an error came from, and of what type, but not its message: that may quote a customer."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < 8:
        parts.append(f"{type(cause).__module__}.{type(cause).__qualname__}\n{''.join(traceback.format_tb(cause.__traceback__))}")
        cause = cause.__cause__ or cause.__context__
    _log.error("unexpected error: %s", "caused by ".join(parts))


def install(app: FastAPI) -> None:
    """Makes `app` answer its errors as problems. Unexpected exceptions are left to middleware.Guard."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return service_problem(error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    detail = None if error.detail == phrase else str(error.detail)
    return problem(phrase.lower().replace(" ", "-"), error.status_code, detail, headers=error.headers)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults: Sequence[Any] = error.errors()
    for fault in faults:
        if fault["type"] == "json_invalid":
            return problem("bad-request", 400, f"The body is not JSON: {fault['ctx']['error']} (character {fault['loc'][-1]}).")
    shown = [FieldError(pointer=_pointer(fault["loc"]), detail=fault["msg"]) for fault in faults[:MAX_ERRORS]]
    more = f" The first {MAX_ERRORS} are listed." if len(faults) > MAX_ERRORS else ""
    count = "One field is" if len(faults) == 1 else f"{len(faults)} fields are"
    return problem("input-invalid", 422, f"{count} not as described.{more}", errors=shown)


def _pointer(location: Sequence[int | str]) -> str:
    """JSON pointer, as a URI fragment, of a place in the body; the form's tag that pydantic puts there is no part of the body."""
    path = location[1:]
    if path and path[0] in (ONE, MANY):
        path = path[1:]
    return "#" + "".join("/" + quote(str(step).replace("~", "~0").replace("/", "~1"), safe="~") for step in path)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route's documentation says of the problems that it answers with; 500 is always among them."""
    out: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, 500}):
        content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        out[status] = {"description": _WHEN[status], "content": content}
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            out[status]["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return out


def component_schemas() -> dict[str, Any]:
    """The schemas that `responses` refers to, for the components of the OpenAPI description."""
    _, schemas = models_json_schema([(Problem, "serialization")], ref_template="#/components/schemas/{model}")
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions


_WHEN = {
    400: "The body is not JSON.",
    413: "The body is too large.",
    415: "The body does not say that it is JSON.",
    422: "The body is JSON, but not as described; `errors` says where.",
    429: "Too many requests are waiting.",
    500: "An error of the service; its log says where.",
    503: "The model is not loaded yet.",
}
