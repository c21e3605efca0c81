"""`python -m training`: train a recipe, make a bundle of it, evaluate it."""

from pathlib import Path
from typing import Annotated

import typer

from nlp_service.core.errors import ServiceError
from training.data import Folders
from training.recipe import load_recipe

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)

DataFolder = Annotated[Path, typer.Option(help="folder of the project's own labelled data")]
CorporaFolder = Annotated[Path | None, typer.Option(envvar="CX_CORPORA", help="folder of the public corpora (data/SOURCES.md)")]


def _overrides(pairs: list[str]) -> dict[str, str]:
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise typer.BadParameter(f"not KEY=VALUE: {wrong}")
    return dict(pair.split("=", 1) for pair in pairs)


@app.callback()
def _callback() -> None:
    """Keeps `train` a command of its own while it is the only one."""


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="a recipe of training/recipes/ or your own", exists=True, dir_okay=False)],
    run: Annotated[Path, typer.Option(help="run folder; an unfinished run in it goes on")],
    data: DataFolder = Path("data"),
    corpora: CorporaFolder = None,
    set_: Annotated[list[str], typer.Option("--set", help="overrides a recipe value: encoder.source=offline")] = [],  # noqa: B006
) -> None:
    """Train a recipe into a run folder: config, environment, checkpoints, metrics, best weights."""
    from training.run import start  # torch is imported only when it is needed

    progress = start(load_recipe(recipe, _overrides(set_)), Folders(data, corpora), run)
    typer.echo(f"best epoch {progress.best_epoch + 1}, score {progress.best_score:.4f}; weights in {run}")


def main() -> None:
    """Runs the command line; errors that a user can mend are one line."""
    try:
        app()
    except ServiceError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
