"""A pipeline for many callers at once: what they ask for at the same time rides in the same batches."""

from collections.abc import Sequence
from concurrent.futures import Future

from nlp_service.core.schema import Feedback
from nlp_service.model.batching import Batcher
from nlp_service.model.encoding import EncodedWindow
from nlp_service.model.runtime import Logits
from nlp_service.pipeline import Outcome, Pipeline


class Reader:
    """One pipeline with its batcher. Safe to share between threads."""

    def __init__(self, pipeline: Pipeline, *, batch_tokens: int, waiting_tokens: int) -> None:
        """See Batcher for both numbers."""
        self.pipeline = pipeline
        self._batcher = Batcher(pipeline.runtime, token_budget=batch_tokens, waiting_tokens=waiting_tokens)

    @property
    def waiting_tokens(self) -> int:
        """Padded tokens that wait for the engine now."""
        return self._batcher.waiting_tokens

    def submit(self, windows: Sequence[EncodedWindow]) -> "list[Future[Logits]]":
        """As Batcher.submit, for who prepares and decodes elsewhere. Raises QueueFullError."""
        return self._batcher.submit(windows)

    def outcomes(self, feedback: Sequence[Feedback], *, scores: bool = False) -> list[Outcome]:
        """As Pipeline.outcomes, for a thread that can wait: where the queue is full, until there is room."""
        batch = self.pipeline.start(feedback)
        futures = self._batcher.submit(batch.windows, patient=True)
        return self.pipeline.finish(batch, [_result(future) for future in futures], scores=scores)

    def close(self) -> None:
        """Works off what waits, then ends the engine's thread."""
        self._batcher.close()


def _result(future: "Future[Logits]") -> Logits | Exception:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, Exception):
        return error
    raise error
