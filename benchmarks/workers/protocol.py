"""What a worker is: a process that loads one engine and reads texts when it is told to. Standard library only, for every peer has its own
environment.

    python workers/NAME.py FOLDER [OPTION ...]

It prints one line of JSON when it is ready, and one for each line of JSON that it reads: {"texts": FILE, "count": N} means the first N
lines of FILE, each a JSON string; with "answers": FILE it writes there what it answered, a line of JSON for each text.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence

Read = Callable[[list[str]], Sequence[object]]


def serve(load: Callable[[str, list[str]], Read]) -> None:
    """Loads the engine of the folder named on the command line and answers until standard input ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what engines print must not stand between our lines
    started = time.perf_counter()
    read = load(sys.argv[1], sys.argv[2:])
    read(["Todo bien.", "All good."])
    _tell(out, {"seconds": time.perf_counter() - started})
    for line in sys.stdin:
        task = json.loads(line)
        with open(task["texts"], encoding="utf-8") as lines:
            texts = [json.loads(text) for text, _ in zip(lines, range(task["count"]), strict=False)]
        wall, cpu = time.perf_counter(), time.process_time()
        answers = read(texts)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if len(answers) != len(texts):
            raise SystemExit(f"{len(answers)} answers to {len(texts)} texts")
        if "answers" in task:
            with open(task["answers"], "w", encoding="utf-8") as told:
                told.writelines(json.dumps(answer) + "\n" for answer in answers)
        _tell(out, {"texts": len(texts), "seconds": wall, "cpu_seconds": cpu})


def _tell(out: object, told: dict[str, float]) -> None:
    print(json.dumps({**told, "peak_mb": _peak_mb()}), file=out, flush=True)  # type: ignore[call-overload]


def _peak_mb() -> float:
    """Most resident megabytes so far. getrusage would tell those of the parent too, from which this process was forked."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
