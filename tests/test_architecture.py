import os
import subprocess
import sys
from pathlib import Path

import pytest

import nlp_service.core

ROOT = Path(__file__).parents[1]
LINT = "import sys; from importlinter.cli import lint_imports_command;"


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    changed = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=changed, check=False, timeout=120)


def test_the_import_contracts_hold(tmp_path: Path) -> None:
    result = python(f"{LINT} sys.argv[1:] = ['--cache-dir', {str(tmp_path)!r}]; lint_imports_command()")
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 broken" in result.stdout
    assert " 0 kept" not in result.stdout


def test_a_broken_contract_would_be_seen(tmp_path: Path) -> None:
    """The linter reads the project's own table: an import against the direction, in a copy, is found."""
    for name in ("nlp_service", "training", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name) if name != "nlp_service" else None
    package = tmp_path / "nlp_service"
    package.mkdir()
    for path in (ROOT / "nlp_service").iterdir():
        if path.name != "core":
            (package / path.name).symlink_to(path)
    (package / "core").mkdir()
    for path in (ROOT / "nlp_service/core").glob("*.*"):
        (package / "core" / path.name).symlink_to(path)
    (package / "core" / "wrong.py").write_text("import nlp_service.pipeline\nimport torch\n")
    code = f"{LINT} sys.argv[1:] = ['--no-cache']; lint_imports_command()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False, timeout=120
    )
    assert result.returncode != 0
    assert "nlp_service.core.wrong" in result.stdout


HEAVY = ("torch", "transformers", "accelerate", "datasets", "wordfreq")


# spaCy loads torch where it finds it, so what must not be needed is made impossible to import, as where it is not installed.
BLOCKED = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r}))"


@pytest.mark.parametrize("use", ["import nlp_service.pipeline", "from nlp_service.pipeline import Pipeline; Pipeline.load('fake')"])
def test_the_base_install_needs_no_torch(use: str) -> None:
    result = python(f"{BLOCKED}; {use}; print('fine')")
    assert (result.returncode, result.stdout.strip()) == (0, "fine"), result.stderr


def test_the_gpu_runtime_does_need_it() -> None:
    """Else the tests around this one would prove nothing."""
    result = python(f"{BLOCKED}; import nlp_service.model.torch_runtime")
    assert result.returncode != 0
    assert "torch" in result.stderr


def test_a_bundle_is_scored_without_torch(tiny_bundle_folder: Path) -> None:
    code = f"""
{BLOCKED}
from nlp_service.core.schema import Feedback
from nlp_service.pipeline import Pipeline
print(Pipeline.load({str(tiny_bundle_folder)!r}).analyze([Feedback(text="el pedido llegó tarde")])[0].status)
"""
    result = python(code)
    assert (result.returncode, result.stdout.strip()) == (0, "ok"), result.stderr


def test_the_engine_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    """OpenVINO would write an id for usage statistics there, and would not start where there is no such folder."""
    for home in (tmp_path / "home", tmp_path / "none"):
        if home.name == "home":
            home.mkdir()
        result = python("import nlp_service.model.openvino_runtime", HOME=str(home))
        assert result.returncode == 0, result.stderr
    assert list((tmp_path / "home").iterdir()) == []
    assert not (tmp_path / "none").exists()


def test_the_core_needs_no_engine_and_no_web_framework() -> None:
    modules = [path.stem for path in Path(nlp_service.core.__file__).parent.glob("[a-z]*.py")]
    assert {"correspondence", "decoding", "segments"} <= set(modules)
    unwanted = (*HEAVY, "openvino", "fastapi", "pyarrow", "tokenizers", "safetensors")
    code = "; ".join(f"import nlp_service.core.{m}" for m in modules)
    result = python(f"import sys; sys.modules.update(dict.fromkeys({unwanted!r})); {code}; print('fine')")
    assert (result.returncode, result.stdout.strip()) == (0, "fine"), result.stderr


def test_recipes_and_records_are_read_without_torch() -> None:
    result = python("import sys; import training.recipe, training.records; print('torch' in sys.modules)")
    assert (result.returncode, result.stdout.strip()) == (0, "False"), result.stderr
