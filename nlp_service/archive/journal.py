"""How a scoring job survives its own death: a part file that only grows, and a state file that says how much of it counts."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from nlp_service.core.errors import InputError

_FORMAT = 1
_HEAD = 65_536  # bytes of the input that its fingerprint reads


@dataclass(slots=True)
class Progress:
    """What is committed: input rows, bytes of the part file, and how many rows had each outcome."""

    rows: int = 0
    bytes: int = 0
    counts: dict[str, int] = field(default_factory=dict)


def fingerprint(path: Path) -> dict[str, Any]:
    """What tells a changed input: size, time of change, digest of the first bytes."""
    stat = path.stat()
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_HEAD)).hexdigest()
    return {"path": str(path.resolve()), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "head_sha256": digest}


class Journal:
    """The part and state files beside `output`. `job` is everything that the bytes of the output depend on, as JSON."""

    def __init__(self, output: Path, job: dict[str, Any]) -> None:
        self.part = output.with_name(f"{output.name}.part")
        self._state = output.with_name(f"{output.name}.state.json")
        self._job = job
        self._file: IO[bytes] | None = None

    def resume(self) -> tuple[Progress, str | None]:
        """What an earlier run of the same job committed, and why it does not count where there was one that cannot be gone on with.

        To be asked while the journal is open: only then does no other job move what is read here.
        """
        try:
            state = json.loads(self._state.read_bytes())
            progress, job = Progress(state["rows"], state["bytes"], state["counts"]), dict(state["job"])
            size = self.part.stat().st_size
        except FileNotFoundError:
            left = self._state.exists() or (self.part.exists() and self.part.stat().st_size > 0)
            return Progress(), "an interrupted run left an incomplete record of itself" if left else None
        except (ValueError, TypeError, KeyError):
            return Progress(), "the record of the interrupted run cannot be read"
        changed = sorted(key for key in {*job, *self._job} if job.get(key) != self._job.get(key))
        if changed:
            return Progress(), f"the interrupted run had another {', '.join(changed)}"
        if size < progress.bytes:
            return Progress(), "the interrupted run's part file is shorter than it was"
        return progress, None

    @contextmanager
    def open(self) -> Iterator["Journal"]:
        """Opens the part file. Raises InputError while another job writes it."""
        with self.part.open("ab") as file:
            _lock(file, self.part)
            self._file = file
            yield self

    def cut(self, progress: Progress) -> None:
        """Cuts the part file back to `progress`."""
        assert self._file is not None
        self._file.truncate(progress.bytes)

    def commit(self, data: bytes, progress: Progress) -> None:
        """Appends `data` and makes it count, with `progress.bytes` moved on. Both are on the disk when this returns."""
        assert self._file is not None
        self._file.write(data)
        _sync(self._file)
        progress.bytes += len(data)
        state = {"rows": progress.rows, "bytes": progress.bytes, "counts": progress.counts, "job": self._job}
        new = self._state.with_name(f"{self._state.name}.new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(state, file, ensure_ascii=False)
            _sync(file)
        new.replace(self._state)

    def forget(self) -> None:
        """Removes the state, once the output is in its place."""
        self._state.unlink(missing_ok=True)


def job(input: dict[str, Any], model: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The job of a Journal, with the version of this format."""
    return {"record format": _FORMAT, "input": input, "model": model, "options": options}


def _sync(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _lock(file: IO[bytes], path: Path) -> None:
    """Two jobs on one output would write into each other's rows. The lock dies with its process."""
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"{path}: another job is writing it") from None
