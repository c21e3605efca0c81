"""Dynamic batching: the windows of all who ask at once ride together, sorted by length, in batches of a token budget."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from nlp_service.core.errors import ServiceError
from nlp_service.model.encoding import EncodedWindow
from nlp_service.model.runtime import Logits, Runtime, infer_each, padded_length


class QueueFullError(ServiceError):
    """More tokens wait than may."""


class Batcher:
    """One thread that feeds the runtime from a bounded queue.

    It never waits for company: what has come while the engine was busy makes up the next batch. A batch is the window that has waited
    longest with those closest to it in length, up to `token_budget` padded tokens, so nobody waits for longer than it takes to work off
    what was there before. A window whose future was cancelled is left out, and one that breaks the model fails alone.
    """

    def __init__(self, runtime: Runtime, *, token_budget: int, waiting_tokens: int) -> None:
        """`waiting_tokens`: padded tokens that may wait before `submit` refuses more."""
        self._runtime, self._budget, self._room = runtime, token_budget, waiting_tokens
        self._waiting: list[_Waiting] = []
        self._tokens = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    @property
    def waiting_tokens(self) -> int:
        """Padded tokens that wait now."""
        return self._tokens

    def submit(self, windows: Sequence[EncodedWindow], *, patient: bool = False) -> "list[Future[Logits]]":
        """Futures of the windows' logits, in order. Where too many wait, a `patient` caller does too.

        Others get a QueueFullError; then none of their windows was taken. Raises RuntimeError once it is closed.
        """
        fresh = [_Waiting(window) for window in windows]
        tokens = sum(one.tokens for one in fresh)
        with self._changed:
            while self._tokens and self._tokens + tokens > self._room and not self._closed:
                if not patient:
                    raise QueueFullError("too many texts are waiting")
                self._changed.wait()
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._waiting += fresh
            self._tokens += tokens
            self._changed.notify_all()
        return [one.future for one in fresh]

    def close(self) -> None:
        """Works off what waits, then ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next():
            batch = [one for one in batch if one.future.set_running_or_notify_cancel()]
            if batch:
                self._infer(batch)

    def _next(self) -> "list[_Waiting]":
        """The next batch; empty when closed and nothing waits."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            batch = choose(self._waiting, self._budget)
            chosen = set(map(id, batch))
            self._waiting = [one for one in self._waiting if id(one) not in chosen]
            self._tokens -= sum(one.tokens for one in batch)
            self._changed.notify_all()
            return batch

    def _infer(self, batch: "list[_Waiting]") -> None:
        for one, outcome in zip(batch, infer_each(self._runtime, [one.window for one in batch]), strict=True):
            if isinstance(outcome, Exception):
                one.future.set_exception(outcome)
            else:
                one.future.set_result(outcome)


@dataclass(eq=False, slots=True)
class _Waiting:
    window: EncodedWindow
    future: "Future[Logits]" = field(default_factory=Future)

    @property
    def tokens(self) -> int:
        return padded_length(self.window)


def choose(waiting: "Sequence[_Waiting]", budget: int) -> "list[_Waiting]":
    """The first of `waiting`, which has waited longest, with those nearest to it in length: at most `budget` tokens once padded.

    Among equals the older ones. One window at least, whatever its length.
    """
    if not waiting:
        return []
    first = waiting[0].tokens
    batch: list[_Waiting] = []
    widest = 0
    for one in sorted(waiting, key=lambda one: abs(one.tokens - first)):  # stable: among equals the older ones
        widest = max(widest, one.tokens)
        if batch and widest * (len(batch) + 1) > budget:
            break
        batch.append(one)
    return batch
