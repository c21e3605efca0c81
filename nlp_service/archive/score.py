"""Scores an archive: rows in, one analysis for each out, in order, with bounded memory and without losing work when interrupted."""

import hashlib
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nlp_service.archive.formats import output_format
from nlp_service.archive.journal import Journal, Progress, fingerprint, job
from nlp_service.archive.readers import AnyRow, ReadOptions, Source, open_source
from nlp_service.archive.rows import Columns, Row, Unreadable
from nlp_service.archive.writers import Scored, open_writer
from nlp_service.core.errors import InputError
from nlp_service.core.schema import Analysis, Feedback
from nlp_service.pipeline import Outcome, Pipeline

CHUNK = 512
"""Rows analysed and committed at once. Chunks begin at the same rows in every run, so a row always has the same neighbours."""

UNREADABLE = "unreadable"
_SHOWN = 5  # unreadable rows that a report explains


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """How to score.

    `scores` adds every label's probability; `limit` stops after so many rows; `restart` forgets an interrupted run; `force` replaces
    an output that is there.
    """

    read: ReadOptions = field(default_factory=ReadOptions)
    scores: bool = False
    limit: int | None = None
    restart: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What a job did. `counts` has the rows of each status and of `unreadable`; `rows` includes the `resumed` ones of earlier runs.

    `copies`: rows of this run whose very text had been read before. `problems` explains the first unreadable rows of this run, without
    quoting them; `seconds` is the time of this run.
    """

    output: Path
    columns: Columns
    rows: int
    resumed: int
    counts: dict[str, int]
    copies: int
    problems: list[Unreadable]
    seconds: float


def score(pipeline: Pipeline, input: Path, output: Path, options: ScoreOptions) -> Report:
    """Scores the archive `input` into `output`. Progress and notes go to stderr.

    Every input row gives exactly one output row, in order. An interrupted job goes on where it was when it is called again with the
    same input, model and options; the output is then what an uninterrupted run would have written.

    Raises InputError: a path, format or column that cannot be used, an output that exists, an input damaged beyond its rows.
    """
    started, copies = time.monotonic(), _copies(pipeline)
    source = check(input, output, options)
    writer = open_writer(output_format(output), pipeline.taxonomy, scores=options.scores)
    journal = Journal(output, _job(pipeline, input, source.columns, options))
    problems: list[Unreadable] = []
    with journal.open():
        progress = _resume(journal, options)
        journal.cut(progress)
        resumed = progress.rows
        if not progress.bytes:
            journal.commit(writer.header(), progress)
        remaining = None if options.limit is None else max(0, options.limit - progress.rows)
        with closing(source.rows(progress.rows)) as rows, _bar(source, progress, options) as bar:
            for chunk, outcomes in _read(pipeline, _chunks(islice(rows, remaining)), scores=options.scores):
                scored = _scored(chunk, outcomes)
                problems += [row for row in chunk if isinstance(row, Unreadable)][: _SHOWN - len(problems)]
                _count(progress, scored)
                journal.commit(writer.chunk(scored), progress)
                _advance(bar, source, progress, len(chunk), options.limit)
    writer.finish(journal.part, output)
    journal.forget()
    copies = _copies(pipeline) - copies
    return Report(output, source.columns, progress.rows, resumed, progress.counts, copies, problems, time.monotonic() - started)


def check(input: Path, output: Path, options: ScoreOptions) -> Source:
    """The archive, once all is well with both paths. Raises InputError; for telling it before a model is loaded."""
    source = open_source(input, options.read)
    output_format(output)
    if not output.parent.is_dir():
        raise InputError(f"{output.parent}: no such folder; make it first")
    if output.is_dir():
        raise InputError(f"{output}: is a folder")
    if output.exists() and output.samefile(input):
        raise InputError(f"{output}: input and output are the same file")
    if output.exists() and not options.force:
        raise InputError(f"{output}: exists already; --force replaces it")
    return source


def _copies(pipeline: Pipeline) -> int:
    return pipeline.memory.counts.known if pipeline.memory else 0


def _job(pipeline: Pipeline, input: Path, columns: Columns, options: ScoreOptions) -> dict[str, Any]:
    """Everything that the output's bytes depend on."""
    manifest = pipeline.manifest.model_dump_json() if pipeline.manifest else ""
    model = {
        **pipeline.info.model_dump(),
        "manifest_sha256": hashlib.sha256(manifest.encode()).hexdigest(),
        "runtime": pipeline.runtime.description,
    }
    chosen = {**asdict(columns), "encoding": options.read.encoding, "scores": options.scores, "limit": options.limit}
    return job(fingerprint(input), model, chosen)


def _resume(journal: Journal, options: ScoreOptions) -> Progress:
    if options.restart:
        return Progress()
    progress, problem = journal.resume()
    if problem:
        _note(f"starting again from the first row: {problem}")
    elif progress.rows:
        _note(f"going on after row {progress.rows:,} of an interrupted run (--restart begins again)")
    return progress


def _chunks(rows: Iterable[AnyRow]) -> Iterator[list[AnyRow]]:
    rows = iter(rows)
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _read(pipeline: Pipeline, chunks: Iterable[list[AnyRow]], *, scores: bool) -> Iterator[tuple[list[AnyRow], list[Outcome]]]:
    """Each chunk with the outcomes of its readable rows."""
    ahead: deque[list[AnyRow]] = deque()

    def texts() -> Iterator[list[Feedback]]:
        for chunk in chunks:
            ahead.append(chunk)
            yield [Feedback(id=row.id, text=row.text) for row in chunk if isinstance(row, Row)]

    for outcomes in pipeline.stream(texts(), scores=scores):
        yield ahead.popleft(), outcomes


def _scored(chunk: Sequence[AnyRow], outcomes: Sequence[Outcome]) -> list[Scored]:
    """A row that breaks the model is unreadable too; where every row does, it is the model that is broken, and the error is raised."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if failures and len(failures) == len(outcomes):
        raise failures[0]
    left = iter(outcomes)
    return [Scored(row.number, _outcome(row, next(left)) if isinstance(row, Row) else row) for row in chunk]


def _outcome(row: Row, outcome: Outcome) -> Analysis | Unreadable:
    if isinstance(outcome, Exception):
        return Unreadable(row.number, row.id, f"the model failed on it ({type(outcome).__name__})")
    return outcome


def _count(progress: Progress, scored: Sequence[Scored]) -> None:
    statuses = Counter(UNREADABLE if isinstance(row.outcome, Unreadable) else row.outcome.status for row in scored)
    progress.counts = {key: progress.counts.get(key, 0) + statuses[key] for key in sorted({*progress.counts, *statuses})}
    progress.rows += len(scored)


def _bar(source: Source, progress: Progress, options: ScoreOptions) -> "tqdm[Any]":
    """Rows, rate and time left; silent where stderr is no terminal."""
    return tqdm(total=_total(source.total, options.limit), initial=progress.rows, unit=" rows", disable=None, dynamic_ncols=True)


def _advance(bar: "tqdm[Any]", source: Source, progress: Progress, rows: int, limit: int | None) -> None:
    fraction = source.fraction()
    # Text files do not know their rows: the rows so far and the part of the file they took tell about how many there are.
    estimate = source.total if source.total is not None else round(progress.rows / fraction) if fraction else None
    bar.total = _total(estimate, limit)
    bar.update(rows)


def _total(rows: int | None, limit: int | None) -> int | None:
    known = [number for number in (rows, limit) if number is not None]
    return min(known, default=None)


def _note(message: str) -> None:
    sys.stderr.write(f"note: {message}\n")
