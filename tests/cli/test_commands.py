import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nlp_service.cli import options
from nlp_service.cli.main import app
from nlp_service.core.schema import Analysis, Feedback
from nlp_service.pipeline import Pipeline

TEXT = "La entrega me dio frustración, pero el precio, alegría."
runner = CliRunner()


@pytest.fixture(autouse=True)
def _no_model_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(options.ENVIRONMENT, raising=False)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, input: str | bytes | None = None) -> tuple[int, str, str]:
    result = runner.invoke(app, list(arguments), input=input)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def test_json_is_exactly_the_analysis() -> None:
    code, out, err = run("analyze", TEXT, "--json", "--scores", "--id", "ñ1", "--model", "fake")
    [expected] = Pipeline.load("fake").analyze([Feedback(id="ñ1", text=TEXT)], scores=True)
    assert (code, out, err) == (0, expected.model_dump_json() + "\n", "")


def test_standard_input_without_its_last_line_break() -> None:
    code, out, _ = run("analyze", "-", "--json", "--model", "fake", input=f"{TEXT}\nLa entrega.\n")
    analysis = Analysis.model_validate_json(out)
    assert code == 0
    assert analysis.segments[-1].text == "La entrega."
    assert analysis.segments[-1].end == len(TEXT) + 1 + len("La entrega.")


def test_standard_input_that_is_not_utf8() -> None:
    assert run("analyze", "-", "--model", "fake", input=b"caf\xe9") == (2, "", "error: standard input is not UTF-8 (byte 4)\n")


def test_people_read_it_in_the_texts_language_or_the_one_they_ask_for() -> None:
    _, spanish, _ = run("analyze", TEXT, "--model", "fake")
    assert spanish.startswith("Idioma: español\n")
    assert "entrega y cumplimiento" in spanish
    _, english, _ = run("analyze", TEXT, "--lang", "en", "--model", "fake")
    assert english.startswith("Language: Spanish\n")
    assert "delivery and fulfilment" in english


def test_score_writes_the_file_and_tells_of_it_on_stderr(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f'id,text\n1,"{TEXT}"\n2,x,y\n', "utf-8")
    code, out, err = run("score", "a.csv", "o.jsonl", "--model", "fake")
    assert (code, out) == (0, "")
    assert "o.jsonl: 2 rows" in err
    assert "row 2: 3 fields where the header has 2" in err
    lines = (tmp_path / "o.jsonl").read_text("utf-8").splitlines()
    assert Analysis.model_validate_json(lines[0]).id == "1"
    assert json.loads(lines[1])["row"] == 2
    assert run("score", "a.csv", "o.jsonl", "--model", "fake") == (2, "", "error: o.jsonl: exists already; --force replaces it\n")
    assert run("score", "a.csv", "o.jsonl", "--model", "fake", "--force", "--limit", "1")[0] == 0
    assert len((tmp_path / "o.jsonl").read_text("utf-8").splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("score", "none.csv", "o.csv", "--model", "fake"), "none.csv: no such file"),
        (("score", "a.csv", "o.csv", "--model", "fake", "--text-column", "x"), "there is no column 'x'; the columns are 'id', 'text'"),
        (("score", "a.csv", "o.csv", "--model", "fake", "--encoding", "x"), "unknown encoding 'x'"),
        (("analyze", "x", "--model", "nowhere"), "--model: nowhere: no such folder; name the folder of a bundle, or `fake`"),
        (
            ("model", "--model", "."),
            "manifest.json: no such file; a bundle is a folder with manifest.json, model.safetensors and tokenizer.json",
        ),
    ],
)
def test_errors_are_one_line_and_exit_with_2(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "a.csv").write_text("id,text\n")
    assert run(*arguments) == (2, "", f"error: {message}\n")


def test_model_as_a_table_and_as_json() -> None:
    _, out, _ = run("model", "--model", "fake")
    assert out.startswith("fake 0 (taxonomy 1, languages es, en)\n")
    _, out, _ = run("model", "--model", "fake", "--json")
    told = json.loads(out)
    assert (told["name"], told["version"], told["metrics"]) == ("fake", "0", {})
    assert told["thresholds"]["joy"]["auto"]["threshold"] == 0.9


def test_model_of_a_bundle(tiny_bundle_folder: Path) -> None:
    manifest = json.loads((tiny_bundle_folder / "manifest.json").read_text("utf-8"))
    code, out, _ = run("model", "--model", str(tiny_bundle_folder))
    assert code == 0
    assert out.startswith(f"{manifest['name']} {manifest['version']} ")
    assert all(label in out for label in manifest["thresholds"])


def test_serve_hands_on_what_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("nlp_service.api.serve.serve", lambda *a, **k: calls.append((a, k)))
    assert (
        run("serve", "--host", "::1", "--port", "81", "--model", "fake", "--precision", "fp32", "--memory", "5", "--compiled", "c")[0] == 0
    )
    assert calls == [(("fake", "::1", 81), {"device": "cpu", "precision": "fp32", "memory_bytes": 5 * 2**20, "compiled": Path("c")})]


def command(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != options.ENVIRONMENT} | settings
    call = [sys.executable, "-m", "nlp_service", *arguments]
    return subprocess.run(call, capture_output=True, text=True, encoding="utf-8", env=environment, timeout=600)


def test_the_real_command_speaks_utf8_in_any_locale() -> None:
    done = command("analyze", TEXT, "--json", NLP_SERVICE_MODEL="fake", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert Analysis.model_validate_json(done.stdout).segments[0].text in TEXT


def test_help_imports_no_engine() -> None:
    code = (
        "import sys; from nlp_service.cli.main import app\n"
        "try: app(['--help'])\n"
        "finally: print({'numpy', 'pyarrow', 'pydantic', 'spacy', 'openvino', 'fastapi'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0
    assert "analyze" in done.stdout
    assert done.stdout.rstrip().endswith("set()")
