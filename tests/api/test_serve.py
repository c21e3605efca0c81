"""The server as a process of its own: where it listens, what it logs, how it ends."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from api_server import until

from nlp_service.api.serve import serve
from nlp_service.core.errors import BundleError, InputError

CANARY = "xq7canaryxq7"

# A server whose analysis fails on some texts, with the text in the message.
SCRIPT = """
from nlp_service.api.serve import serve
from nlp_service.pipeline import Pipeline

start = Pipeline.start
def careless(self, feedback):
    if any("explode" in item.text for item in feedback):
        raise RuntimeError(f"cannot read {feedback}")
    return start(self, feedback)
Pipeline.start = careless

serve("fake", port=0)
"""


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.168.1.4", "10.0.0.1", "example.org", "localhost.example.org", "128.0.0.1", "0", "127.1"]
)
def test_refuses_to_be_reached_from_elsewhere(host):
    with pytest.raises(InputError, match="API keys"):
        serve("fake", host, 0)


def test_a_model_that_cannot_be_loaded_ends_the_server(tmp_path):
    with pytest.raises(BundleError, match=re.escape("manifest.json")):
        serve(tmp_path, port=0)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST"])
def test_listens_on_this_machine(tmp_path, host):
    with pytest.raises(BundleError):  # it got past the check and ended because there is no bundle
        serve(tmp_path, host, 0)


@pytest.mark.parametrize("line", ["Application startup complete", "ready: fake"])
def test_ctrl_c_ends_it_quietly(tmp_path: Path, line: str):
    with _running('from nlp_service.api.serve import serve; serve("fake", port=0)', tmp_path / "log") as (process, log):
        until(lambda: line in log.read_text(), 120)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert "Traceback" not in log.read_text()
    assert "Finished server process" in log.read_text()


@contextmanager
def _running(script: str, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Python running `script` in a process of its own, with what it prints in `log`; ended with SIGTERM if it still runs."""
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", script], stdout=out, stderr=subprocess.STDOUT)
    try:
        yield process, log
    finally:
        process.terminate()
        process.wait(60)


def test_nothing_that_customers_write_is_logged(tmp_path: Path):
    with _running(SCRIPT, tmp_path / "log") as (process, path):
        until(lambda: "ready: fake" in path.read_text(), 120)
        url = re.search(r"running on (\S+)", path.read_text())[1]
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
            statuses = [response.status_code for response in _talk(http)]
    assert process.returncode in (0, -signal.SIGTERM)
    logged = path.read_text()
    assert statuses == [200, 200, 500, 422, 422, 422, 422, 400, 415, 404, 404, 200, 405]
    assert logged.count(" nlp_service.api.access ") >= len(statuses)
    assert "RuntimeError" in logged  # what failed is logged, and where
    assert "in careless" in logged
    assert CANARY not in logged
    assert "Traceback" not in logged


def _talk(http: httpx.Client) -> list[httpx.Response]:
    analyze, json = "/v1/analyze", {"content-type": "application/json"}
    return [
        http.post(analyze, json={"text": f"la entrega de {CANARY}", "id": CANARY}, headers={"x-customer": CANARY}),
        http.post(analyze, json={"items": [{"text": f"the delivery of {CANARY}", "id": CANARY}]}, params={"q": CANARY}),
        http.post(analyze, json={"text": f"explode {CANARY}"}),
        http.post(analyze, json={"text": "a", CANARY: CANARY}),
        http.post(analyze, json={"text": [CANARY], "id": {CANARY: CANARY}}),
        http.post(analyze, json={"items": [{"text": CANARY * 10_000}]}),
        http.post(analyze, json=CANARY),
        http.post(analyze, content='{"text": "' + CANARY, headers=json),
        http.post(analyze, content=CANARY, headers={"content-type": f"text/{CANARY}"}),
        http.get(f"/v1/{CANARY}"),
        http.get(f"/v1/analyze/{CANARY}"),
        http.get("/v1/model", params={CANARY: CANARY}),
        http.request(CANARY, "/v1/model"),
    ]
