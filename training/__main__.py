"""`python -m training`: train a recipe, make a bundle of it, evaluate it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from nlp_service.core.errors import InputError, ServiceError
from nlp_service.core.taxonomy import HEADS, MULTI_LABEL_HEADS, Taxonomy
from training.annotation.commands import app as annotate
from training.data import Folders, read_labelled
from training.recipe import load_recipe
from training.records import Record

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
app.add_typer(annotate, name="annotate")

DataFolder = Annotated[Path, typer.Option(help="folder of the project's own labelled data")]
CorporaFolder = Annotated[Path | None, typer.Option(envvar="CX_CORPORA", help="folder of the public corpora (data/SOURCES.md)")]


def default_evaluation(corpora: Path | None = None) -> list[Path]:
    """Our own records, and with the corpora those by reference: what is measured on where nothing else is named."""
    folders = ("authored", "original", "real") if corpora else ("authored", "original")
    return [path for folder in folders for path in sorted(Path("data", folder).glob("*.jsonl"))]


def default_cases() -> list[Path]:
    """Our own behaviour cases."""
    return sorted(Path("data/behaviour").glob("*.jsonl"))


def _overrides(pairs: list[str]) -> dict[str, str]:
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise typer.BadParameter(f"not KEY=VALUE: {wrong}")
    return dict(pair.split("=", 1) for pair in pairs)


def _labelled(files: list[Path], corpora: Path | None, split: str, taxonomy: Taxonomy) -> list[Record]:
    """The records of a split (`all`: of every split). Raises InputError where there are none."""
    records = [r for r in read_labelled(files, corpora, taxonomy) if split in ("all", r.split)]
    if not records:
        raise InputError(f"no records of split {split!r} in {', '.join(map(str, files)) or 'data/'}")
    return records


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="a recipe of training/recipes/ or your own", exists=True, dir_okay=False)],
    run: Annotated[Path, typer.Option(help="run folder; an unfinished run in it goes on")],
    data: DataFolder = Path("data"),
    corpora: CorporaFolder = None,
    set_: Annotated[list[str], typer.Option("--set", help="overrides a recipe value: encoder.source=offline")] = [],  # noqa: B006
) -> None:
    """Train a recipe into a run folder: config, environment, checkpoints, metrics, best weights."""
    from training.run import start

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
    data: Annotated[
        list[Path], typer.Option(help="JSONL of labelled records (data/README.md), or of labels by reference", exists=True)
    ] = [],  # noqa: B006
    corpora: CorporaFolder = None,
    split: Annotated[str, typer.Option(help="only the records of this split; `all` for every record")] = "dev",
    json_out: Annotated[Path | None, typer.Option("--json", help="write every figure here")] = None,
    page_out: Annotated[Path | None, typer.Option("--page", help="write a page to look at here (HTML)")] = None,
) -> None:
    """Measure a bundle on labelled records: per head, label, language and source, through the pipeline that serves, in full precision.

    So the figures are the same on every machine; `python -m benchmarks agreement` tells how far this one's precision is from it.
    """
    from nlp_service.pipeline import Pipeline
    from training.evaluate import calibration_table, confusion_table, confusions, figures, label_table, table
    from training.outcomes import collect
    from training.report_page import page

    pipeline = Pipeline.load(model, precision="fp32")
    taxonomy = pipeline.taxonomy
    records = _labelled(data or default_evaluation(corpora), corpora, split, taxonomy)
    outcomes = collect(pipeline, records, progress=True)
    report = figures(outcomes, taxonomy)
    languages = [language for language in taxonomy.languages if language in report]
    typer.echo(table(report, intervals=True))
    typer.echo("\n" + calibration_table(report, ["all", *languages]))
    for head in MULTI_LABEL_HEADS:
        typer.echo(f"\n{head}\n" + label_table(report, head, languages))
    mistakes = {head: confusions(outcomes, taxonomy, head) for head in HEADS}
    for head in HEADS:
        typer.echo(f"\n{head}: what is taken for what\n" + confusion_table(mistakes[head][:12]))
    if json_out:
        json_out.write_text(json.dumps({"groups": report, "confusions": mistakes}, indent=1), "utf-8")
    if page_out:
        page_out.write_text(page(f"{pipeline.info.name} {pipeline.info.version}", outcomes, report, taxonomy), "utf-8")


@app.command()
def compare(
    models: Annotated[list[Path], typer.Argument(help="folders of bundles; the others are shown as shares of the first", exists=True)],
    data: Annotated[list[Path], typer.Option(help="JSONL of labelled records", exists=True)] = [],  # noqa: B006
    corpora: CorporaFolder = None,
    cards: Annotated[bool, typer.Option(help="write the table into the cards of the bundles")] = False,
) -> None:
    """Put bundles side by side: figures on the development records and time, measured in turns in one run."""
    from nlp_service.model.bundle import read_manifest
    from nlp_service.pipeline import Pipeline
    from training.card import write_card
    from training.compare import compare as measure
    from training.compare import comparison_table

    pipelines = [Pipeline.load(model) for model in models]
    records = _labelled(data or default_evaluation(corpora), corpora, "dev", pipelines[0].taxonomy)
    table = comparison_table(measure(pipelines, records))
    typer.echo(table)
    for model in models if cards else ():
        write_card(model, read_manifest(model), table)


@app.command()
def ablate(
    study: Annotated[Path, typer.Argument(help="a study of training/studies/: a recipe and its variants", exists=True, dir_okay=False)],
    runs: Annotated[Path, typer.Option(help="folder for one run per variant; finished ones are not trained again")],
    data: DataFolder = Path("data"),
    corpora: CorporaFolder = None,
    set_: Annotated[list[str], typer.Option("--set", help="overrides a recipe value in every variant")] = [],  # noqa: B006
) -> None:
    """Train and measure the variants of a recipe side by side."""
    from training.ablation import ablate as run_study
    from training.evaluate import table

    reports = run_study(study, runs, Folders(data, corpora), _overrides(set_))
    typer.echo(table({name: report["all"] for name, report in reports.items()}))


@app.command()
def average(
    runs: Annotated[list[Path], typer.Argument(help="finished runs of one recipe, with different seeds", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="run folder for the mean of their weights")],
) -> None:
    """Average the weights of several runs into one run folder."""
    from training.average import average as mean

    mean(runs, out)


@app.command()
def native(
    recipe: Annotated[Path, typer.Argument(help="a recipe of training/recipes/native/", exists=True, dir_okay=False)],
    runs: Annotated[Path, typer.Option(help="folder for one run a seed; finished ones are not trained again")],
    corpora: CorporaFolder = None,
    set_: Annotated[list[str], typer.Option("--set", help="overrides a recipe value")] = [],  # noqa: B006
) -> None:
    """Train the network on a public corpus in its own labels and report macro F1 on its development split, several seeds."""
    from training.native import NativeRecipe, native_scores, native_table
    from training.recipe import load_strict

    scores = native_scores(load_strict(recipe, NativeRecipe, _overrides(set_)), runs, Folders(Path("data"), corpora))
    typer.echo(native_table(scores))


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="JSONL of labelled records", exists=True, dir_okay=False)],
) -> None:
    """Check labelled records: every fault with its line, and the counts of what is there."""
    from training.records import faults_of, label_counts

    taxonomy = Taxonomy.default()
    faults = faults_of(files, taxonomy)
    for fault in faults:
        typer.echo(fault, err=True)
    if faults:
        raise typer.Exit(1)
    typer.echo(label_counts([r for path in files for r in read_labelled([path], None, taxonomy)], taxonomy))


@app.command()
def sheet(
    files: Annotated[list[Path], typer.Argument(help="JSONL of labelled records with their text", exists=True, dir_okay=False)],
    page: Annotated[Path, typer.Option(help="write the sheet here (HTML)")] = Path("docs/data-sheet.html"),
) -> None:
    """Write the data sheet of records as a page: counts of every cell, variety of the language, near-copies."""
    from training.data_sheet import sheet_page
    from training.duplicates import near_copies
    from training.records import read_jsonl

    taxonomy = Taxonomy.default()
    rows = [row for path in files for _, row in read_jsonl(path)]
    copies = near_copies(list(read_labelled(files, None, taxonomy)))
    page.write_text(sheet_page(rows, taxonomy, copies), "utf-8")
    typer.echo(f"{len(rows)} records, {len(copies)} near-copies; {page}")


@app.command()
def behaviour(
    model: Annotated[Path, typer.Option(help="folder of a bundle", exists=True, file_okay=False)] = Path("models/cx-es-en"),
    cases: Annotated[list[Path], typer.Option(help="JSONL of cases", exists=True)] = [],  # noqa: B006
    failures: Annotated[bool, typer.Option(help="list the ids of the cases that fail")] = False,
    raise_floors: Annotated[Path | None, typer.Option(help="lift the floors in this file to what the bundle reaches", exists=True)] = None,
) -> None:
    """Pass rates of a bundle by capability: minimal pairs, and our held-back records as customers and platforms change them."""
    from nlp_service.pipeline import Pipeline
    from training.behaviour import all_cases, raised_floors, rates_table, run

    pipeline = Pipeline.load(model, precision="fp32")
    rates = run(pipeline, all_cases(cases or default_cases(), default_evaluation(), pipeline.taxonomy))
    typer.echo(rates_table(rates))
    if failures:
        for (capability, language), rate in rates.items():
            typer.echo(f"{capability}, {language}: {', '.join(rate.failed)}")
    if raise_floors:
        floors = raised_floors(json.loads(raise_floors.read_text("utf-8")), rates)
        raise_floors.write_text(json.dumps(floors, indent=1, ensure_ascii=False) + "\n", "utf-8")


@app.command()
def languages(corpora: CorporaFolder = None) -> None:
    """Accuracy of the language identifier on our records and on samples of the corpora."""
    from training.surveys import language_accuracy, language_texts

    records = list(read_labelled(default_evaluation(), None, Taxonomy.default()))
    typer.echo(json.dumps(language_accuracy(language_texts(records, corpora)), indent=1))


@app.command()
def vocabulary(
    model: Annotated[Path, typer.Option(help="folder of a bundle", exists=True, file_okay=False)] = Path("models/cx-es-en"),
    source: Annotated[str, typer.Option(help="the base encoder that was trimmed")] = "intfloat/multilingual-e5-small",
) -> None:
    """Share of our records that tokenise exactly as with the whole vocabulary."""
    from nlp_service.model.bundle import Bundle
    from training.surveys import vocabulary_share

    texts = [record.text for record in read_labelled(default_evaluation(), None, Taxonomy.default())]
    typer.echo(json.dumps(vocabulary_share(source, Bundle.load(model).tokenizer, texts), indent=1))


def main() -> None:
    """Runs the command line; errors that a user can mend are one line."""
    try:
        app()
    except ServiceError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
