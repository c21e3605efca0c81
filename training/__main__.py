"""`python -m training`: train a recipe, make a bundle of it, evaluate it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from nlp_service.core.errors import InputError, ServiceError
from training.data import Folders, read_labelled
from training.recipe import load_recipe

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)

DataFolder = Annotated[Path, typer.Option(help="folder of the project's own labelled data")]
CorporaFolder = Annotated[Path | None, typer.Option(envvar="CX_CORPORA", help="folder of the public corpora (data/SOURCES.md)")]

DEFAULT_EVALUATION = [Path("data/authored/authored.jsonl"), *sorted(Path("data/original").glob("*.jsonl"))]


def _overrides(pairs: list[str]) -> dict[str, str]:
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise typer.BadParameter(f"not KEY=VALUE: {wrong}")
    return dict(pair.split("=", 1) for pair in pairs)


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


@app.command()
def bundle(
    run: Annotated[Path, typer.Option(help="folder of a finished run", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="folder of the bundle, for example models/cx-es-en")],
    data: DataFolder = Path("data"),
    corpora: CorporaFolder = None,
) -> None:
    """Make a bundle of a run: fp16 weights, calibration, thresholds, figures and model card."""
    from training.evaluate import table
    from training.export import make_bundle

    typer.echo(table(make_bundle(run, out, Folders(data, corpora))))


@app.command()
def recalibrate(
    model: Annotated[Path, typer.Option(help="folder of a bundle", exists=True, file_okay=False)],
    data: DataFolder = Path("data"),
    corpora: CorporaFolder = None,
) -> None:
    """Fit calibration and thresholds of a bundle anew, measure it, and renew its manifest and card. The weights stay."""
    from nlp_service.core.taxonomy import Taxonomy
    from nlp_service.model.bundle import read_manifest
    from training.data import load
    from training.evaluate import table
    from training.export import recalibrate as renew
    from training.recipe import Recipe

    recipe = Recipe.model_validate(read_manifest(model).training["recipe"])
    typer.echo(table(renew(model, load(recipe, Folders(data, corpora), Taxonomy.default()))))


@app.command()
def evaluate(
    model: Annotated[Path, typer.Option(help="folder of a bundle", exists=True, file_okay=False)] = Path("models/cx-es-en"),
    data: Annotated[list[Path], typer.Option(help="JSONL of labelled records (data/README.md), or of labels by reference")] = [],  # noqa: B006
    corpora: CorporaFolder = None,
    split: Annotated[str, typer.Option(help="only the records of this split; `all` for every record")] = "dev",
    json_out: Annotated[Path | None, typer.Option("--json", help="write every figure here")] = None,
) -> None:
    """Measure a bundle on labelled records: per language and source, through the pipeline that serves."""
    from nlp_service.pipeline import Pipeline
    from training.evaluate import evaluate as measure
    from training.evaluate import label_table, table

    pipeline = Pipeline.load(model)
    records = [r for r in read_labelled(data or DEFAULT_EVALUATION, corpora, pipeline.taxonomy) if split in ("all", r.split)]
    if not records:
        raise InputError(f"no records of split {split!r} in {[str(path) for path in data]}")
    report = measure(pipeline, records)
    typer.echo(table(report))
    for head in ("emotions", "touchpoints", "signals"):
        typer.echo(f"\n{head}\n" + label_table(report, head, pipeline.taxonomy.languages))
    if json_out:
        json_out.write_text(json.dumps(report, indent=1), "utf-8")


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="JSONL of labelled records", exists=True, dir_okay=False)],
) -> None:
    """Check labelled records: every fault with its line, and the counts of what is there."""
    from nlp_service.core.taxonomy import Taxonomy
    from training.records import data_sheet, faults_of

    taxonomy = Taxonomy.default()
    faults = [fault for path in files for fault in faults_of(path, taxonomy)]
    for fault in faults:
        typer.echo(fault, err=True)
    if faults:
        raise typer.Exit(1)
    typer.echo(data_sheet([r for path in files for r in read_labelled([path], None, taxonomy)], taxonomy))


@app.command()
def languages(corpora: CorporaFolder = None) -> None:
    """Accuracy of the language identifier on our records and on samples of the corpora."""
    from nlp_service.core.taxonomy import Taxonomy
    from training.surveys import language_accuracy, language_texts

    records = list(read_labelled(DEFAULT_EVALUATION, None, Taxonomy.default()))
    typer.echo(json.dumps(language_accuracy(language_texts(records, corpora)), indent=1))


@app.command()
def vocabulary(
    model: Annotated[Path, typer.Option(help="folder of a bundle", exists=True, file_okay=False)] = Path("models/cx-es-en"),
    source: Annotated[str, typer.Option(help="the base encoder that was trimmed")] = "intfloat/multilingual-e5-small",
) -> None:
    """Share of our records that tokenise exactly as with the whole vocabulary."""
    from nlp_service.core.taxonomy import Taxonomy
    from nlp_service.model.bundle import Bundle
    from training.surveys import vocabulary_share

    texts = [record.text for record in read_labelled(DEFAULT_EVALUATION, None, Taxonomy.default())]
    typer.echo(json.dumps(vocabulary_share(source, Bundle.load(model).tokenizer, texts), indent=1))


def main() -> None:
    """Runs the command line; errors that a user can mend are one line."""
    try:
        app()
    except ServiceError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
