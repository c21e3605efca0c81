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

    `concurrent`: analyses that run at once; the engine uses every core for one, so a second one only fills the gaps in which the
    first prepares text. `waiting`: requests that may wait for those; the next one is answered 429 with `retry_after` seconds.
    `body_bytes`: the largest request body. `drain_bytes`: how much of a larger one is still read and thrown away, because a client
    that is cut off while it writes never reads why.
    """

    concurrent: int = 2
    waiting: int = 16
    retry_after: int = 1
    body_bytes: int = 10 * 1024 * 1024
    drain_bytes: int = 64 * 1024 * 1024
