"""What surrounds every request: the last catch, the access log and the limit on bodies."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nlp_service.api.limits import Limits
from nlp_service.api.problems import BodyTooLargeError, log_unexpected, problem, service_problem

_access = logging.getLogger("nlp_service.api.access")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


class Guard:
    """Answers 500 to whatever nobody caught, and writes one line about each request.

    It stands inside Starlette's own catch-all, which would hand the exception, message and all, to the server's log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status: int | None = None

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            log_unexpected(error)
            if status is not None:
                raise RuntimeError("failed after its response had begun") from None
            await problem("internal-error", 500)(scope, receive, watch)
        finally:
            # The route, not the path, and no client: neither may carry what a customer wrote or who that was.
            route = getattr(scope.get("route"), "path", "-")
            method = scope["method"] if scope["method"] in _METHODS else "-"
            _access.info("%s %s %s %.1f ms", method, route, status or "-", 1000 * (time.perf_counter() - started))


class BodyLimit:
    """Reads the whole body before the application sees any of it, and answers 413 to one that is too large."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"0")
        # A client that asks first (Expect) or announces more than we would even throw away is answered without reading.
        reading_limit = self._limits.body_bytes if b"expect" in headers else self._limits.drain_bytes
        body = None if int(declared) > reading_limit else await self._read(receive)
        if body is None:
            await service_problem(BodyTooLargeError(self._limits.body_bytes))(scope, receive, send)
            return
        pending: Message | None = body

        async def replay() -> Message:
            nonlocal pending
            if pending is None:
                return await receive()  # from here on only a disconnect can come
            message, pending = pending, None
            return message

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> Message | None:
        """The body as one message, or the disconnect that came instead; None if it is too large."""
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return message
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > self._limits.body_bytes:
                chunks.clear()
            else:
                chunks.append(chunk)
            if size > self._limits.drain_bytes or not message.get("more_body", False):
                break
        return None if size > self._limits.body_bytes else {"type": "http.request", "body": b"".join(chunks), "more_body": False}
