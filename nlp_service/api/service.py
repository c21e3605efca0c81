"""The pipeline behind the routes: its loading, and who may use it when."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from anyio import CapacityLimiter, to_thread
from fastapi import Request

from nlp_service.api.limits import Limits
from nlp_service.api.problems import BusyError, ClientGoneError, NotReadyError
from nlp_service.core.schema import Feedback
from nlp_service.model.batching import QueueFullError
from nlp_service.model.encoding import EncodedWindow
from nlp_service.model.runtime import Logits
from nlp_service.pipeline import Outcome, Pipeline
from nlp_service.reader import Reader

PipelineFactory = Callable[[], Pipeline]
OnFailure = Callable[[Exception], Awaitable[None]]

_log = logging.getLogger(__name__)
# One text of each language loads the language rules and prepares the engine, so that no customer's request pays for that.
_WARM_UP = [Feedback(text="Todo perfecto, pero la entrega llegó tarde."), Feedback(text="All good, but the delivery was late.")]


class Service:
    """One pipeline for all requests. Create it inside the event loop."""

    def __init__(self, factory: PipelineFactory, limits: Limits) -> None:
        self._factory, self._limits = factory, limits
        # Preparing and decoding hold Python's lock: more threads than this would only take it from each other.
        self._threads = CapacityLimiter(limits.preparing)
        self._admitted = 0
        self._reader: Reader | None = None
        self._failed = False

    @property
    def reader(self) -> Reader:
        """The loaded pipeline with its batcher. Raises NotReadyError."""
        if self._failed:
            raise NotReadyError("The model could not be loaded; the log says why.")
        if self._reader is None:
            raise NotReadyError("The model is being loaded.")
        return self._reader

    @property
    def pipeline(self) -> Pipeline:
        """The loaded pipeline. Raises NotReadyError."""
        return self.reader.pipeline

    @property
    def in_flight(self) -> int:
        """How many requests are being analyzed or wait for that."""
        return self._admitted

    async def load(self, on_failure: OnFailure | None = None) -> None:
        """Loads and warms up the pipeline in a thread. A failure is logged and told to `on_failure`, not raised."""
        try:
            pipeline = await to_thread.run_sync(self._load, abandon_on_cancel=True)
        except Exception as error:
            self._failed = True
            # No customer has said anything yet, so the whole message may be logged.
            _log.error("the model could not be loaded", exc_info=error)
            if on_failure:
                await on_failure(error)
        else:
            self._reader = Reader(pipeline, batch_tokens=self._limits.batch_tokens, waiting_tokens=self._limits.waiting_tokens)
            _log.info("ready: %s %s on %s", pipeline.info.name, pipeline.info.version, pipeline.runtime.description)

    async def close(self) -> None:
        """Ends the engine's thread, when no request is left."""
        if self._reader:
            await to_thread.run_sync(self._reader.close)

    async def analyze(
        self, request: Request, feedback: Sequence[Feedback], *, scores: bool, answer: Callable[[Sequence[Outcome]], bytes]
    ) -> bytes:
        """What `answer` makes of the outcomes; it is called in a worker thread, for 256 analyses take a while to write.

        Raises NotReadyError; BusyError if too many wait already; ClientGoneError if the caller left: what was not inferred by then never
        is.
        """
        reader = self.reader
        if self._admitted >= self._limits.requests:
            raise BusyError(self._limits.retry_after)
        self._admitted += 1
        try:
            work = asyncio.ensure_future(self._analyze(reader, feedback, scores, answer))
            left = asyncio.ensure_future(_left(request))
            try:
                await asyncio.wait((work, left), return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    raise ClientGoneError
                return work.result()
            finally:
                for task in (work, left):
                    task.cancel()
        finally:
            self._admitted -= 1

    async def _analyze(
        self, reader: Reader, feedback: Sequence[Feedback], scores: bool, answer: Callable[[Sequence[Outcome]], bytes]
    ) -> bytes:
        pipeline = reader.pipeline
        batch = await to_thread.run_sync(pipeline.start, feedback, limiter=self._threads)
        results = await self._infer(reader, batch.windows)
        return await to_thread.run_sync(lambda: answer(pipeline.finish(batch, results, scores=scores)), limiter=self._threads)

    async def _infer(self, reader: Reader, windows: Sequence[EncodedWindow]) -> list[Logits | Exception]:
        """As `infer_each`, with the windows of other requests. Cancelled, it takes back what has not begun."""
        try:
            futures = reader.submit(windows)
        except QueueFullError:
            raise BusyError(self._limits.retry_after) from None
        try:
            results = await asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)
        finally:
            for future in futures:
                future.cancel()
        return results  # type: ignore[return-value] # a window's future never holds a BaseException

    def _load(self) -> Pipeline:
        pipeline = self._factory()
        pipeline.analyze(_WARM_UP)
        return pipeline


async def _left(request: Request) -> None:
    """Returns when the caller has gone. The body was read whole before (middleware.BodyLimit), so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
