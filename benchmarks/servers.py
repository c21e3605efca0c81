"""Servers as processes: ours and the peers', each with the request that makes it classify one text."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.processes import interpreter
from nlp_service.core.errors import InputError

_START_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Server:
    """How to start a server on a port, and what to send it. `{python}` and `{port}` in the command are filled in."""

    name: str
    command: tuple[str, ...]
    path: str
    body: Callable[[str], Any]
    requirements: str | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers: where, and after how many seconds."""

    url: str
    process: psutil.Process
    started: float

    def usage(self) -> tuple[float, float]:
        """CPU seconds so far and resident megabytes now, children included."""
        processes = [self.process, *self.process.children(recursive=True)]
        cpu = sum(sum(p.cpu_times()[:2]) for p in processes)
        return cpu, sum(p.memory_info().rss for p in processes) / 2**20


def ours(name: str, model: Path) -> Server:
    """Our server on a bundle; it remembers no text, for the loads repeat them."""
    command = ("{python}", "-m", "nlp_service", "serve", "--model", str(model), "--port", "{port}", "--memory", "0")
    return Server(name, command, "/v1/analyze", lambda text: {"text": text})


def infinity(weights: Path) -> Server:
    """infinity, its torch engine, on the peers' weights."""
    start = ("{python}", "-c", "from infinity_emb.cli import cli; cli()", "v2")
    command = (*start, "--model-id", str(weights), "--served-model-name", "cx", "--device", "cpu", "--engine", "torch", "--port", "{port}",
               "--host", "127.0.0.1")  # fmt: skip
    return Server("infinity", command, "/classify", lambda text: {"model": "cx", "input": [text]}, "infinity")


def litserve(weights: Path) -> Server:
    """LitServe on the peers' weights."""
    script = Path(__file__).parent / "workers" / "litserve_server.py"
    return Server("LitServe", ("{python}", str(script), str(weights), "{port}"), "/predict", lambda text: {"text": text}, "litserve")


@contextmanager
def running(server: Server, environments: Path) -> Iterator[Running]:
    """Starts `server` and waits until it has answered a text. Raises InputError where it does not start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    filled = [part.format(python=interpreter(server.requirements, environments), port=port) for part in server.command]
    url = f"http://127.0.0.1:{port}{server.path}"
    log = environments / f"{server.name}-server.log"
    begun = time.monotonic()
    with log.open("w") as out, subprocess.Popen(filled, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            _wait(url, server.body("Todo bien. All good."), process, log)
            yield Running(url, psutil.Process(process.pid), time.monotonic() - begun)
        finally:
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.terminate()
                process.terminate()


def _wait(url: str, body: Any, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.post(url, json=body, timeout=30, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise InputError(f"{log}: the server did not start")
