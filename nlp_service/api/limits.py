"""Every bound of the API, in one place."""

from dataclasses import dataclass

MAX_ITEMS = 256
"""Texts in one request."""
MAX_TEXT = 100_000
"""Code points in one text."""
MAX_ID = 256
"""Code points in the caller's own id of a text."""
MAX_ERRORS = 20
"""Field errors that one problem lists; the others are only counted."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server takes on at a time, once a request's body has been read.

    `requests` may be in work at once, and `waiting_tokens` (padded) may wait for the engine; what comes on top is answered 429 with
    `retry_after` seconds. `preparing`: threads that prepare and decode text while the engine infers. `batch_tokens`: padded tokens that
    the engine reads at once, more of which would only make each caller wait longer.
    `body_bytes`: the largest request body. `drain_bytes`: how much of a larger one is still read and thrown away, because a client
    that is cut off while it writes never reads why.
    """

    requests: int = 64
    waiting_tokens: int = 32_768
    preparing: int = 2
    batch_tokens: int = 2048
    retry_after: int = 1
    body_bytes: int = 10 * 1024 * 1024
    drain_bytes: int = 64 * 1024 * 1024
