"""Open-loop load on a server: requests leave at their own times, whether the earlier ones have come back or not.

A closed loop would wait for a slow server and so hide how slow it is (coordinated omission). Latency counts from the time at which a
request was due.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np


@dataclass(frozen=True, slots=True)
class Served:
    """`offered` and `good` (answered 200) requests a second, shares refused (429, 503) and failed; ms to good answers and to refusals."""

    offered: float
    good: float
    refused: float
    failed: float
    p50: float
    p95: float
    p99: float
    refused_p50: float
    refused_p99: float


async def offer(url: str, bodies: Sequence[Any], rate: float, seconds: float, seed: int = 1, timeout: float = 30) -> Served:
    """Posts the bodies as JSON to `url` at random (Poisson) times, `rate` a second, for `seconds`."""
    rng = random.Random(seed)
    due, times = 0.0, []
    while (due := due + rng.expovariate(rate)) < seconds:
        times.append(due)
    limits = httpx.Limits(max_connections=2000, max_keepalive_connections=2000)
    async with httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False) as client:
        start = time.perf_counter()

        async def one(at: float, body: Any) -> tuple[int, float]:
            await asyncio.sleep(max(0.0, start + at - time.perf_counter()))
            try:
                status = (await client.post(url, json=body)).status_code
            except httpx.HTTPError:
                status = 0
            return status, time.perf_counter() - start - at

        outcomes = await asyncio.gather(*(one(at, bodies[i % len(bodies)]) for i, at in enumerate(times)))
        elapsed = time.perf_counter() - start
    good = [latency for status, latency in outcomes if status == 200]
    count = max(1, len(outcomes))
    refused = [latency for status, latency in outcomes if status in (429, 503)]
    return Served(
        len(outcomes) / seconds, len(good) / elapsed, len(refused) / count, (len(outcomes) - len(good) - len(refused)) / count,
        *_milliseconds(good, 50, 95, 99), *_milliseconds(refused, 50, 99),
    )  # fmt: skip


def _milliseconds(latencies: Sequence[float], *percentiles: float) -> list[float]:
    """Not a number where there are none."""
    return [float(x) * 1000 for x in np.percentile(latencies, percentiles)] if latencies else [np.nan] * len(percentiles)


def highest_good_rate(measure: Callable[[float], Served], start: float, p99_ms: float, steps: int = 7) -> Served:
    """The load of the most good answers a second at which their p99 stays under `p99_ms` and 99 % are answered.

    From `start` up or down by doubling or halving, then by bisection; where no load was borne, the lowest that was tried.
    """
    rate, good, bad = start, 0.0, math.inf
    best = last = None
    for _ in range(steps):
        last = measure(rate)
        if last.p99 <= p99_ms and last.refused + last.failed <= 0.01:
            best, good = (last if best is None or last.good > best.good else best), rate
        else:
            bad = rate
        rate = 2 * good if bad == math.inf else (good + bad) / 2
    assert last
    return best or last
