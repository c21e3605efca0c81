"""The pipeline behind the routes: its loading, and who may use it when."""

import logging
from collections.abc import Awaitable, Callable

from anyio import CapacityLimiter, to_thread
from fastapi import Request

from nlp_service.api.limits import Limits
from nlp_service.api.problems import BusyError, ClientGoneError, NotReadyError
from nlp_service.core.schema import Feedback
from nlp_service.pipeline import Pipeline

PipelineFactory = Callable[[], Pipeline]
OnFailure = Callable[[Exception], Awaitable[None]]

_log = logging.getLogger(__name__)
# One text of each language loads the language rules and prepares the engine, so that no customer's request pays for that.
_WARM_UP = [Feedback(text="Todo perfecto, pero la entrega llegó tarde."), Feedback(text="All good, but the delivery was late.")]


class Service:
    """One pipeline for all requests. Create it inside the event loop."""

    def __init__(self, factory: PipelineFactory, limits: Limits) -> None:
        self._factory, self._limits = factory, limits
        self._slots = CapacityLimiter(limits.concurrent)
        self._admitted = 0
        self._pipeline: Pipeline | None = None
        self._failed = False

    @property
    def pipeline(self) -> Pipeline:
        """The loaded pipeline. Raises NotReadyError."""
        if self._failed:
            raise NotReadyError("The model could not be loaded; the log says why.")
        if self._pipeline is None:
            raise NotReadyError("The model is being loaded.")
        return self._pipeline

    @property
    def in_flight(self) -> int:
        """How many requests are being analyzed or wait for that."""
        return self._admitted

    async def load(self, on_failure: OnFailure | None = None) -> None:
        """Loads and warms up the pipeline in a thread. A failure is logged and told to `on_failure`, not raised."""
        try:
            self._pipeline = await to_thread.run_sync(self._load, abandon_on_cancel=True)
        except Exception as error:
            self._failed = True
            # No customer has said anything yet, so the whole message may be logged.
            _log.error("the model could not be loaded", exc_info=error)
            if on_failure:
                await on_failure(error)
        else:
            _log.info("ready: %s %s on %s", self._pipeline.info.name, self._pipeline.info.version, self._pipeline.runtime.description)

    async def run(self, request: Request, work: Callable[[Pipeline], bytes]) -> bytes:
        """What `work` makes of the pipeline, in a worker thread, when it is this request's turn.

        Raises NotReadyError; BusyError if too many wait already; ClientGoneError, without working, if the caller left while it waited.
        """
        pipeline = self.pipeline
        if self._admitted >= self._limits.concurrent + self._limits.waiting:
            raise BusyError(self._limits.retry_after)
        self._admitted += 1
        try:
            async with self._slots:
                if await request.is_disconnected():
                    raise ClientGoneError
                return await to_thread.run_sync(work, pipeline)
        finally:
            self._admitted -= 1

    def _load(self) -> Pipeline:
        pipeline = self._factory()
        pipeline.analyze(_WARM_UP)
        return pipeline
