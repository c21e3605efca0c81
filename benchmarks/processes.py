"""Workers as processes: each peer in an environment of its own, fed line by line."""

import json
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from nlp_service.core.errors import InputError

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Engine:
    """A worker to run: `script` of workers/, in the environment `requirements` (none: this one), on the weights `folder`."""

    name: str
    script: str
    folder: Path
    options: tuple[str, ...] = ()
    requirements: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


class Worker:
    """A running engine."""

    def __init__(self, engine: Engine, environments: Path) -> None:
        """Starts and waits until it is ready. Raises InputError where its environment was not set up or it does not start."""
        python = interpreter(engine.requirements, environments)
        command = [str(python), str(_HERE / "workers" / f"{engine.script}.py"), str(engine.folder), *engine.options]
        self.engine = engine
        self._log = (environments / f"{engine.name.replace(' ', '-').replace('/', '-')}.log").open("w")
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True)
        self.ready = self._hear()

    def read(self, texts: Path, count: int) -> dict[str, float]:
        """`seconds`, `cpu_seconds` and `peak_mb` of reading the first `count` texts of a file (a JSON string a line)."""
        assert self._process.stdin
        print(json.dumps({"texts": str(texts), "count": count}), file=self._process.stdin, flush=True)
        return self._hear()

    def answers(self, texts: Path, count: int) -> list[Any]:
        """What the engine answers to the first `count` texts of a file."""
        assert self._process.stdin
        with tempfile.TemporaryDirectory() as folder:
            told = Path(folder, "answers.jsonl")
            print(json.dumps({"texts": str(texts), "count": count, "answers": str(told)}), file=self._process.stdin, flush=True)
            self._hear()
            return [json.loads(line) for line in told.open(encoding="utf-8")]

    def _hear(self) -> dict[str, float]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise InputError(f"{self.engine.name} ended ({self._process.wait()}); see {self._log.name}")
        told: dict[str, float] = json.loads(line)
        return told

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()


def interpreter(requirements: str | None, environments: Path) -> Path:
    """The Python of an environment. Raises InputError where it was not set up."""
    if requirements is None:
        return Path(sys.executable)
    python = environments / requirements / "bin" / "python"
    if not python.exists():
        raise InputError(f"{python}: not there; `python -m benchmarks setup` makes it")
    return python


def set_up(environments: Path) -> None:
    """Makes the environment of every file of requirements/, those that are complete already excepted."""
    environments.mkdir(parents=True, exist_ok=True)
    for file in sorted((_HERE / "requirements").glob("*.txt")):
        place = environments / file.stem
        done = place / "done"
        if done.exists() and done.read_text() == file.read_text():
            continue
        venv.create(place, with_pip=True, clear=True)
        subprocess.run([place / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "-r", file], check=True)
        done.write_text(file.read_text())
