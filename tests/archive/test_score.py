import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from nlp_service.archive import score as module
from nlp_service.archive.journal import Journal, Progress
from nlp_service.archive.readers import ReadOptions
from nlp_service.archive.rows import Columns
from nlp_service.archive.score import ScoreOptions, score
from nlp_service.core.errors import InputError
from nlp_service.core.schema import Feedback
from nlp_service.model.runtime import Logits
from nlp_service.pipeline import Batch, Outcome, Pipeline

CANARY = "zanahoria-secreta"


class Spy(Pipeline):
    """The fake pipeline, with a record of its calls and a text that breaks it."""

    def __init__(self, real: Pipeline) -> None:
        self.__dict__.update(real.__dict__)
        self.memory = None
        self.calls: list[int] = []
        self.breaks: type[BaseException] | None = RuntimeError

    def infer(self, batch: Batch) -> list[Logits | Exception]:
        self.calls.append(len(batch.feedback))
        outcomes = super().infer(batch)
        places = [text for text in batch.texts for _ in text.windows]
        for i, text in enumerate(places):
            if self.breaks and "poison" in text.original:
                error = self.breaks(CANARY)
                if not isinstance(error, Exception):
                    raise error
                outcomes[i] = error
        return outcomes


@pytest.fixture
def spy(pipeline: Pipeline) -> Spy:
    return Spy(pipeline)


def archive(path: Path, texts: Sequence[str]) -> Path:
    path.write_text("".join(json.dumps({"id": f"t{i}", "text": text}) + "\n" for i, text in enumerate(texts, 1)))
    return path


def test_one_row_out_for_each_row_in_and_one_call_for_each_chunk(spy: Spy, tmp_path: Path) -> None:
    texts = ["La entrega fue una alegría"] + [""] * 2498
    path = archive(tmp_path / "a.jsonl", texts)
    path.write_bytes(path.read_bytes() + b"nope\n")
    report = score(spy, path, tmp_path / "o.jsonl", ScoreOptions())
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [f"t{i}" for i in range(1, 2500)] + [None]
    assert lines[0]["emotions"][0]["label"] == "joy"
    assert lines[-1] == {"id": None, "row": 2500, "error": "not valid JSON (character 1)"}
    assert spy.calls == [512, 512, 512, 512, 451]
    assert (report.rows, report.resumed, report.columns) == (2500, 0, Columns("text", "id"))
    assert report.counts == {"ok": 1, "no_text": 2498, "unreadable": 1}
    assert [row.number for row in report.problems] == [2500]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl", "o.jsonl"]


def test_answers_are_those_of_the_pipeline(pipeline: Pipeline, tmp_path: Path) -> None:
    texts = ["La entrega me dio frustración.", "The price was a joy", "churn risk"]
    score(pipeline, archive(tmp_path / "a.jsonl", texts), tmp_path / "o.jsonl", ScoreOptions(scores=True))
    expected = pipeline.analyze([Feedback(id=f"t{i}", text=text) for i, text in enumerate(texts, 1)], scores=True)
    assert (tmp_path / "o.jsonl").read_text().splitlines() == [analysis.model_dump_json() for analysis in expected]


@pytest.mark.parametrize("limit", [1, 4, 5, 99])
def test_limit(spy: Spy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    report = score(spy, archive(tmp_path / "a.jsonl", [""] * 10), tmp_path / "o.csv", ScoreOptions(limit=limit))
    assert report.rows == min(limit, 10)
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 1 + min(limit, 10)


def test_a_text_that_breaks_the_model_fails_alone(spy: Spy, tmp_path: Path) -> None:
    report = score(
        spy,
        archive(tmp_path / "a.jsonl", ["La entrega fue una alegría", "poison", "The delivery deserves my gratitude"]),
        tmp_path / "o.jsonl",
        ScoreOptions(),
    )
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert lines[1] == {"id": "t2", "row": 2, "error": "the model failed on it (RuntimeError)"}
    assert [lines[i]["emotions"][0]["label"] for i in (0, 2)] == ["joy", "gratitude"]
    assert report.counts == {"ok": 2, "unreadable": 1}


def test_a_broken_model_is_an_error_and_not_a_file_of_errors(spy: Spy, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        score(spy, archive(tmp_path / "a.jsonl", ["poison"] * 3), tmp_path / "o.jsonl", ScoreOptions())
    assert not (tmp_path / "o.jsonl").exists()


def test_paths_that_cannot_be_used(pipeline: Pipeline, tmp_path: Path) -> None:
    good = archive(tmp_path / "a.jsonl", [""])
    (tmp_path / "there.csv").write_text("precious")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "a.xlsx").touch()
    (tmp_path / "link.jsonl").symlink_to(good)
    for source, output, message in [
        (tmp_path / "none.csv", tmp_path / "o.csv", "none.csv: no such file"),
        (tmp_path, tmp_path / "o.csv", "not a file"),
        (tmp_path / "a.xlsx", tmp_path / "o.csv", r"a.xlsx: cannot tell the format; inputs end in"),
        (good, tmp_path / "o.xlsx", r"o.xlsx: cannot tell the format; outputs end in"),
        (good, tmp_path / "none" / "o.csv", "none: no such folder"),
        (good, tmp_path / "folder.csv", "is a folder"),
        (good, good, "same file"),
        (good, tmp_path / "link.jsonl", "same file"),
        (good, tmp_path / "there.csv", "exists already; --force replaces it"),
    ]:
        with pytest.raises(InputError, match=message):
            score(pipeline, source, output, ScoreOptions(force=message == "same file"))
    assert (tmp_path / "there.csv").read_text() == "precious"
    score(pipeline, good, tmp_path / "there.csv", ScoreOptions(force=True))
    assert (tmp_path / "there.csv").read_text().startswith("id,row,status")


def test_customer_text_is_not_in_what_is_shown(spy: Spy, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        f'{{"id": "1", "text": "{CANARY} poison"}}\n{{"id": "2", "text": "x"}}\n{{"text": "{CANARY}\n{{"text": ["{CANARY}"]}}\n'
    )
    report = score(spy, path, tmp_path / "o.jsonl", ScoreOptions())
    assert report.counts["unreadable"] == 3
    shown = capfd.readouterr()
    assert CANARY not in shown.out + shown.err + repr(report) + (tmp_path / "o.jsonl").read_text()


def interrupted(spy: Spy, path: Path, output: Path, options: ScoreOptions | None = None) -> None:
    """A run that stops in its third chunk of 4."""
    spy.breaks = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        score(spy, path, output, options or ScoreOptions())
    spy.calls.clear()


@pytest.fixture
def stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "CHUNK", 4)
    return archive(tmp_path / "a.jsonl", ["The delivery was a joy"] * 9 + ["poison"] + ["The delivery was a joy"] * 5)


@pytest.mark.parametrize("name", ["o.jsonl", "o.csv", "o.parquet"])
def test_an_interrupted_job_goes_on(spy: Spy, pipeline: Pipeline, stopping: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    output = stopping.with_name(name)
    interrupted(spy, stopping, output)
    assert not output.exists()
    spy.breaks = None
    report = score(spy, stopping, output, ScoreOptions())
    assert spy.calls == [4, 3]
    assert (report.rows, report.resumed, report.counts) == (15, 8, {"ok": 15})
    assert "going on after row 8" in capfd.readouterr().err
    score(pipeline, stopping, stopping.with_name(f"whole-{name}"), ScoreOptions())
    assert output.read_bytes() == stopping.with_name(f"whole-{name}").read_bytes()


def test_another_job_starts_again_and_says_why(spy: Spy, pipeline: Pipeline, stopping: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = stopping.with_name("o.jsonl")
    other = Spy(pipeline)
    other.info = pipeline.info.model_copy(update={"version": "1"})
    for job, options, note in [
        (pipeline, ScoreOptions(scores=True), "another options"),
        (pipeline, ScoreOptions(limit=12), "another options"),
        (pipeline, ScoreOptions(ReadOptions(text_column="id")), "another options"),
        (other, ScoreOptions(limit=9), "another model, options"),
    ]:
        interrupted(spy, stopping, output)
        report = score(job, stopping, output, options)
        assert report.resumed == 0
        assert f"starting again from the first row: the interrupted run had {note}" in capfd.readouterr().err
        output.unlink()
    interrupted(spy, stopping, output)
    os.utime(stopping, ns=(1, 1))
    assert score(pipeline, stopping, output, ScoreOptions()).resumed == 0
    assert "another input" in capfd.readouterr().err


def test_restart_forgets_the_interrupted_run(spy: Spy, pipeline: Pipeline, stopping: Path) -> None:
    output = stopping.with_name("o.jsonl")
    interrupted(spy, stopping, output)
    report = score(pipeline, stopping, output, ScoreOptions(restart=True))
    assert (report.resumed, report.rows, len(output.read_text().splitlines())) == (0, 15, 15)


@pytest.mark.parametrize("damage", ["state is no JSON", "state is gone", "part is gone", "part is short"])
def test_a_damaged_record_starts_again(
    spy: Spy, pipeline: Pipeline, stopping: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    output = stopping.with_name("o.jsonl")
    interrupted(spy, stopping, output)
    state, part = output.with_name("o.jsonl.state.json"), output.with_name("o.jsonl.part")
    match damage:
        case "state is no JSON":
            state.write_text('{"rows": 8')
        case "state is gone":
            state.unlink()
        case "part is gone":
            part.unlink()
        case "part is short":
            part.write_bytes(part.read_bytes()[:-1])
    report = score(pipeline, stopping, output, ScoreOptions())
    assert "starting again" in capfd.readouterr().err
    assert (report.resumed, len(output.read_text().splitlines())) == (0, 15)


def test_two_jobs_cannot_write_one_output(pipeline: Pipeline, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.jsonl", [""])
    with (tmp_path / "o.jsonl.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another job is writing it"):
            score(pipeline, path, tmp_path / "o.jsonl", ScoreOptions())
    assert score(pipeline, path, tmp_path / "o.jsonl", ScoreOptions()).rows == 1


def test_what_was_not_committed_is_cut_off(tmp_path: Path) -> None:
    journal, progress = Journal(tmp_path / "o", {}), Progress()
    with journal.open():
        progress.rows = 1
        journal.commit(b"one\n", progress)
    with journal.part.open("ab") as file:
        file.write(b"torn")
    found, problem = journal.resume()
    assert (found, problem) == (Progress(1, 4, {}), None)
    with journal.open():
        journal.cut(found)
        journal.commit(b"two\n", found)
    assert journal.part.read_bytes() == b"one\ntwo\n"


def test_memory_does_not_grow_with_the_rows(pipeline: Pipeline, tmp_path: Path) -> None:
    """Peak of Python's memory over 20,000 rows against 4,000, with a model that answers at once."""
    import tracemalloc

    [answer] = pipeline.analyze([Feedback(text="La entrega me dio frustración")])

    class Constant(Spy):
        def start(self, feedback: Sequence[Feedback]) -> Batch:
            return Batch(feedback, [], [])

        def finish(self, batch: Batch, results: Sequence[Logits | Exception], *, scores: bool = False) -> list[Outcome]:
            return [answer] * len(batch.feedback)

    peaks = []
    for rows in (4_000, 20_000):
        path = archive(tmp_path / f"{rows}.jsonl", ["La entrega me dio frustración"] * rows)
        tracemalloc.start()
        score(Constant(pipeline), path, tmp_path / f"{rows}-out.jsonl", ScoreOptions())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
