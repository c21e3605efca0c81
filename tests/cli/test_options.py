from pathlib import Path

import pytest
import typer

import nlp_service
from nlp_service.cli.options import ENVIRONMENT, find_model, user_errors
from nlp_service.core.errors import BundleError, InputError


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and repository."""
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    monkeypatch.setattr(nlp_service, "__file__", str(tmp_path / "repository" / "nlp_service" / "__init__.py"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def bundle(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").touch()
    return folder


def test_the_option_comes_first_then_the_environment_then_here_then_the_repository(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = bundle(elsewhere / "repository" / "models" / "cx-es-en")
    assert find_model(None) == str(beside)
    here = bundle(elsewhere / "here" / "models" / "cx-es-en")
    assert Path(find_model(None)).resolve() == here
    monkeypatch.setenv(ENVIRONMENT, str(beside))
    assert find_model(None) == str(beside)
    assert find_model("fake") == "fake"
    assert find_model(str(here)) == str(here)


@pytest.mark.usefixtures("elsewhere")
def test_without_a_model_the_error_says_what_to_do() -> None:
    with pytest.raises(InputError, match=f"name a bundle's folder with --model or {ENVIRONMENT}, or try `--model fake`"):
        find_model(None)


@pytest.mark.usefixtures("elsewhere")
def test_a_folder_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "/nowhere")
    with pytest.raises(InputError, match=f"{ENVIRONMENT}: /nowhere: no such folder"):
        find_model(None)


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (BundleError("two\n  lines"), "error: two lines\n"),
        (PermissionError(13, "Permission denied", "a.csv"), "error: a.csv: Permission denied\n"),
        (OSError(28, "No space left on device"), "error: No space left on device\n"),
    ],
)
def test_what_the_user_can_mend_is_one_line(error: Exception, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as stopped, user_errors():
        raise error
    assert stopped.value.exit_code == 2
    assert capsys.readouterr().err == shown


def test_what_the_user_cannot_mend_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), user_errors():
        raise ZeroDivisionError
