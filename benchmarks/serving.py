"""Servers under load, each alone on the machine: latencies at fixed rates, and the most that each serves at equal latency."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from benchmarks.load import Served, highest_good_rate, offer
from benchmarks.servers import Running, Server, running


@dataclass(frozen=True, slots=True)
class Serving:
    """Of one server at one load: see load.Served; CPU seconds a thousand good answers, resident megabytes after it, seconds to start.

    `kind`: `fixed` for a given rate, `highest` for the most good answers at which the 99th percentile stays within the bound.
    """

    server: str
    kind: str
    offered: float
    good: float
    refused: float
    failed: float
    p50: float
    p95: float
    p99: float
    refused_p50: float
    refused_p99: float
    cpu_seconds_a_thousand: float
    resident_mb: float
    start_seconds: float


def serving(
    servers: Sequence[Server], texts: Sequence[str], rates: Sequence[float], seconds: float, p99_ms: float, environments: Path
) -> list[Serving]:
    """All servers are started, then loaded in turns; a waiting one costs memory but no time."""
    out = []
    with ExitStack() as stack:
        started = [(server, stack.enter_context(running(server, environments))) for server in servers]
        for rate in tqdm(rates, "fixed rates", mininterval=5):
            for server, run in started:
                out.append(_measured(server, run, texts, rate, seconds))
        for server, run in tqdm(started, "highest rates", mininterval=5):

            def at(rate: float, server: Server = server, run: Running = run) -> Served:
                return asyncio.run(offer(run.url, [server.body(text) for text in texts], rate, seconds))

            best = highest_good_rate(at, start=rates[len(rates) // 2], p99_ms=p99_ms)
            out.append(
                Serving(
                    server.name, "highest", **asdict(best), cpu_seconds_a_thousand=0, resident_mb=run.usage()[1], start_seconds=run.started
                )
            )
    return out


def _measured(server: Server, run: Running, texts: Sequence[str], rate: float, seconds: float) -> Serving:
    cpu, _ = run.usage()
    served = asyncio.run(offer(run.url, [server.body(text) for text in texts], rate, seconds))
    after, resident = run.usage()
    answers = max(1.0, served.good * seconds)
    return Serving(
        server.name, "fixed", **asdict(served), cpu_seconds_a_thousand=1000 * (after - cpu) / answers, resident_mb=resident,
        start_seconds=run.started,
    )  # fmt: skip
