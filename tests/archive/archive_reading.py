"""Type of the fixture `read`."""

from collections.abc import Callable

from nlp_service.archive.rows import Row, Unreadable

Read = Callable[..., list[Row | Unreadable]]
