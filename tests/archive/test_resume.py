import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nlp_service.archive import score as module
from nlp_service.archive.score import ScoreOptions, score
from nlp_service.pipeline import Pipeline

JOB = Path(__file__).with_name("killed_job.py")


def archive(folder: Path) -> Path:
    """60 rows, some of several lines, some unreadable: what a byte count alone could not find its place in."""
    kinds = [
        '{i},"La entrega,\nfrustración {i}"',
        "{i},The price: joy",
        "{i},",
        "{i},too,many",
        '{i},"never closed',
        "{i},Das ist für mich nicht gut",
    ]
    path = folder / "a.csv"
    path.write_text("id,text\n" + "".join(kinds[i % 6].format(i=i) + "\n" for i in range(60)))
    return path


# 0 dies in the header, 1 in the first chunk, 8 in the last one.
@pytest.mark.parametrize(("name", "commits"), [("o.jsonl", 4), ("o.csv", 8), ("o.parquet", 3), ("o.parquet", 0)])
def test_a_killed_job_ends_as_an_unharmed_one(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, commits: int
) -> None:
    path = archive(tmp_path)
    died = subprocess.run([sys.executable, str(JOB), str(path), str(tmp_path / name), str(commits)], capture_output=True, timeout=600)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    assert not (tmp_path / name).exists()
    monkeypatch.setattr(module, "CHUNK", 8)
    resumed = score(pipeline, path, tmp_path / name, ScoreOptions())
    assert resumed.resumed == max(0, commits - 1) * 8
    whole = score(pipeline, path, tmp_path / f"whole-{name}", ScoreOptions())
    assert (whole.rows, whole.resumed, whole.counts) == (60, 0, resumed.counts)
    assert whole.counts["unreadable"] == 20
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    if name.endswith(".parquet"):
        assert pq.read_table(tmp_path / name).num_rows == 60
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["a.csv", name, f"whole-{name}"])
