"""What is measured: engines in turns on the same texts, a single text at a time, servers under load, and how cost grows."""

import json
import os
import platform
import re
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from tqdm import tqdm

from benchmarks.processes import Engine, Worker
from benchmarks.texts import read


@dataclass(frozen=True, slots=True)
class Throughput:
    """Of one engine on one set of texts: the medians over the rounds."""

    engine: str
    texts: str
    documents_a_second: float
    cpu_seconds_a_thousand: float
    peak_mb: float
    start_seconds: float


def throughput(engines: Sequence[Engine], sets: dict[str, Path], rounds: int, environments: Path) -> list[Throughput]:
    """Every engine on every set, `rounds` times in turns: machines drift, so only what was measured side by side compares.

    All engines are started before; a waiting one costs memory but no time.
    """
    told: dict[tuple[str, str], list[dict[str, float]]] = {}
    counts = {name: len(read(path)) for name, path in sets.items()}
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(engine, environments)) for engine in engines]
        turns = [(round_, name, worker) for round_ in range(rounds) for name in sets for worker in workers]
        for round_, name, worker in tqdm(turns, "archive", mininterval=5):
            count = counts[name]
            n = count if round_ or rounds == 1 else max(32, count // 8)  # the first round warms up, and does not count
            told.setdefault((worker.engine.name, name), []).append(worker.read(sets[name], n))
        ready = {worker.engine.name: worker.ready["seconds"] for worker in workers}
    out = []
    for (engine, name), results in told.items():
        counted = results[1:] or results
        out.append(
            Throughput(
                engine, name,
                median(r["texts"] / r["seconds"] for r in counted),
                median(1000 * r["cpu_seconds"] / r["texts"] for r in counted),
                max(r["peak_mb"] for r in results), ready[engine],
            )
        )  # fmt: skip
    return out


def write_json(path: Path, **results: Sequence[object]) -> None:
    """Adds results to the file, each under its name."""
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    known |= {name: [asdict(row) for row in rows] for name, rows in results.items()}  # type: ignore[call-overload]
    known |= {"when": time.strftime("%Y-%m-%d"), "machine": _machine()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=1), "utf-8")


def _machine() -> str:
    """The processor, its cores and what it multiplies fast."""
    told = Path("/proc/cpuinfo").read_text("utf-8") if Path("/proc/cpuinfo").exists() else ""
    name = re.search(r"^model name\s*: (.*)$", told, re.MULTILINE)
    fast = [flag for flag in ("amx_bf16", "amx_int8", "avx512_bf16", "avx512_vnni", "avx_vnni") if re.search(rf"\b{flag}\b", told)]
    return f"{name[1] if name else platform.machine()}, {os.cpu_count()} cores, {', '.join(fast) or 'no reduced precision'}"
