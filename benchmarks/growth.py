"""How the cost of a scoring job grows with its rows and with the processes that share it."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from nlp_service.core.errors import InputError


@dataclass(frozen=True, slots=True)
class Growth:
    """A job of `rows` rows shared by `processes`: seconds, rows a second, and the peak of all their resident megabytes together."""

    model: str
    rows: int
    processes: int
    seconds: float
    rows_a_second: float
    peak_mb: float


def growth(model: Path, texts: Path, rows: int, processes: int, work: Path, memory_mb: int) -> Growth:
    """Scores `rows` rows made of the lines of `texts`, over and over, as `nlp-service score` does. Raises InputError if a process fails."""
    work.mkdir(parents=True, exist_ok=True)
    pool = [json.loads(line) for line in texts.open(encoding="utf-8")]
    parts = [work / f"part-{i}.jsonl" for i in range(processes)]
    for i, part in enumerate(parts):
        with part.open("w", encoding="utf-8") as out:
            for row in range(i, rows, processes):
                out.write(json.dumps({"id": str(row), "text": pool[row % len(pool)]}, ensure_ascii=False) + "\n")
    command = [sys.executable, "-m", "nlp_service", "score"]
    options = ["--model", str(model), "--memory", str(memory_mb), "--force", "--restart"]
    started = time.monotonic()
    running = [
        psutil.Popen([*command, str(part), str(part.with_suffix(".out.jsonl")), *options], stderr=subprocess.DEVNULL) for part in parts
    ]
    peak = _peak(running)
    seconds = time.monotonic() - started
    if any(process.wait() for process in running):
        raise InputError("a scoring process failed; run `nlp-service score` on its part to see why")
    for part in parts:
        part.with_suffix(".out.jsonl").unlink()
        part.unlink()
    return Growth(model.name, rows, processes, seconds, rows / seconds, peak)


def _peak(running: "list[psutil.Popen]") -> float:
    """The most megabytes that all had together, until the last one ends."""
    peak = 0.0
    while any(process.poll() is None for process in running):
        now = 0
        for process in running:
            try:
                now += process.memory_info().rss
            except psutil.Error:
                continue
        peak = max(peak, now / 2**20)
        time.sleep(0.05)
    return peak
