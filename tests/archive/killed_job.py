"""A scoring job that kills itself with SIGKILL in the middle of writing a chunk: `killed_job.py INPUT OUTPUT COMMITS`."""

import os
import signal
import sys
from pathlib import Path

from nlp_service.archive import score as module
from nlp_service.archive.journal import Journal, Progress
from nlp_service.pipeline import Pipeline

commits, real = int(sys.argv[3]), Journal.commit


def commit(journal: Journal, data: bytes, progress: Progress) -> None:
    global commits
    commits -= 1
    if commits < 0:
        assert journal._file is not None
        journal._file.write(data[: len(data) // 2])
        journal._file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    real(journal, data, progress)


Journal.commit = commit  # type: ignore[method-assign]
module.CHUNK = 8
module.score(Pipeline.load("fake"), Path(sys.argv[1]), Path(sys.argv[2]), module.ScoreOptions())
