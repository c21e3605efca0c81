"""Runs the API with uvicorn."""

import ipaddress
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from fastapi import FastAPI

from nlp_service.api.app import create_app
from nlp_service.api.limits import Limits
from nlp_service.core.errors import InputError
from nlp_service.model.runtime import Precision
from nlp_service.pipeline import Device, Pipeline

_DRAIN_SECONDS = 20  # what accepted requests get to finish after SIGTERM; orchestrators kill after 30
_LOGGER = {"handlers": ["stderr"], "level": "INFO", "propagate": False}
_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {"uvicorn": _LOGGER, "nlp_service": _LOGGER},
}


def serve(
    model: str | Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    device: Device = "cpu",
    precision: Precision = "auto",
    memory_bytes: int = 0,
    compiled: Path | None = None,
    limits: Limits | None = None,
) -> None:
    """Serves a bundle folder, or the weightless model `fake`, until SIGINT or SIGTERM; requests in flight are finished first.

    `port` 0 takes a free one; the log names it. Raises InputError if `host` is not a loopback address, and whatever kept the model
    from loading (BundleError for a bundle that cannot be trusted).
    """
    failures: list[Exception] = []

    async def stop(error: Exception) -> None:
        failures.append(error)
        while not server.started:  # uvicorn would leave its socket open if told to stop before that
            await anyio.sleep(0.01)
        server.should_exit = True

    def load() -> Pipeline:
        return Pipeline.load(model, device=device, precision=precision, memory_bytes=memory_bytes, compiled=compiled)

    app = create_app(load, limits=limits, on_failure=stop)
    server = make_server(app, host, port)
    with suppress(KeyboardInterrupt):  # uvicorn raises it again once it has shut down in good order
        server.run()
    if failures:
        raise failures[0]


def make_server(app: FastAPI, host: str, port: int) -> uvicorn.Server:
    """A server for `app` that is not running yet. Raises InputError if `host` is not a loopback address."""
    _require_loopback(host)
    config = uvicorn.Config(
        app,
        host,
        port,
        http="h11",
        ws="none",
        lifespan="on",
        workers=1,
        log_config=_LOGGING,
        access_log=False,  # uvicorn's has the query string; middleware.Guard writes ours
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    return uvicorn.Server(config)


def _require_loopback(host: str) -> None:
    try:
        loopback = host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise InputError(
            f"host {host!r}: without API keys the server may only listen on this machine (127.0.0.1, ::1 or localhost), "
            "because whoever reaches it may use it"
        )
