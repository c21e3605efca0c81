"""The command line. Commands import what they need when they run, so that `--help` answers at once."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from nlp_service.cli.options import (
    DEFAULT_MEMORY,
    MEGABYTE,
    CompiledOption,
    Device,
    DeviceOption,
    Language,
    MemoryOption,
    ModelOption,
    Precision,
    PrecisionOption,
    find_model,
    load_pipeline,
    user_errors,
)
from nlp_service.core.errors import InputError

app = typer.Typer(
    name="nlp-service",
    help="Reads customer feedback in Spanish and English: which emotion about which moment of the journey, with evidence.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    # A traceback with local variables would show customer text.
    pretty_exceptions_enable=False,
)


@app.command()
def analyze(
    text: Annotated[str, typer.Argument(help="The text; - reads it from standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the analysis as one line of JSON.")] = False,
    scores: Annotated[bool, typer.Option("--scores", help="Add every label's probability.")] = False,
    id: Annotated[str | None, typer.Option("--id", help="Handed back in the analysis.")] = None,
    lang: Annotated[Language | None, typer.Option("--lang", help="Language of the labels' names. Default: the text's.")] = None,
    model: ModelOption = None,
    device: DeviceOption = Device.cpu,
    precision: PrecisionOption = Precision.auto,
    compiled: CompiledOption = None,
) -> None:
    """Analyse one text."""
    with user_errors():
        content = _read_text(text)
        pipeline = load_pipeline(model, device, precision, compiled=compiled)
        from nlp_service.cli.pretty import render_analysis
        from nlp_service.core.schema import Feedback

        [analysis] = pipeline.analyze([Feedback(id=id, text=content)], scores=scores)
        _print(analysis.model_dump_json() if as_json else render_analysis(analysis, pipeline.taxonomy, lang.value if lang else None))


@app.command()
def score(
    input: Annotated[Path, typer.Argument(help="Archive: .csv, .tsv, .jsonl (.gz too) or .parquet.")],
    output: Annotated[Path, typer.Argument(help="Scored file: .jsonl, .csv or .parquet.")],
    text_column: Annotated[str | None, typer.Option(help="Column of the text. Default: guessed where the names leave no doubt.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Column of the id. Default: guessed, else ids are row numbers.")] = None,
    encoding: Annotated[str, typer.Option(help="Encoding of CSV, TSV and JSONL, such as cp1252 for old Excel files.")] = "utf-8",
    scores: Annotated[bool, typer.Option("--scores", help="Add every label's probability.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Forget what an interrupted run has done.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that is there.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many rows.")] = None,
    model: ModelOption = None,
    device: DeviceOption = Device.cpu,
    precision: PrecisionOption = Precision.auto,
    memory: MemoryOption = DEFAULT_MEMORY,
    compiled: CompiledOption = None,
) -> None:
    """Score an archive. Interrupted, the same command goes on where it was."""
    with user_errors():
        from nlp_service.archive.readers import ReadOptions
        from nlp_service.archive.score import ScoreOptions, check
        from nlp_service.archive.score import score as score_archive
        from nlp_service.cli.pretty import render_report

        options = ScoreOptions(ReadOptions(text_column, id_column, encoding), scores, limit, restart, force)
        check(input, output, options)
        pipeline = load_pipeline(model, device, precision, memory, compiled)
        try:
            report = score_archive(pipeline, input, output, options)
        except KeyboardInterrupt:
            typer.echo("interrupted; the same command goes on where it was", err=True)
            raise typer.Exit(130) from None
        typer.echo(render_report(report), err=True)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    model: ModelOption = None,
    device: DeviceOption = Device.cpu,
    precision: PrecisionOption = Precision.auto,
    memory: MemoryOption = DEFAULT_MEMORY,
    compiled: CompiledOption = None,
) -> None:
    """Serve the HTTP API."""
    with user_errors():
        found = find_model(model)
        from nlp_service.api.serve import serve as serve_api

        serve_api(found, host, port, device=device.value, precision=precision.value, memory_bytes=memory * MEGABYTE, compiled=compiled)


@app.command("model")
def show_model(
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
    model: ModelOption = None,
) -> None:
    """Show what a model is: version, languages, thresholds, what they measured."""
    with user_errors():
        found = find_model(model)
        from nlp_service.cli.card import card
        from nlp_service.cli.pretty import render_card

        told = card(found)
        _print(json.dumps(told, ensure_ascii=False) if as_json else render_card(told))


def _read_text(argument: str) -> str:
    """The argument, or standard input without its last line break. Raises InputError for bytes that are not UTF-8."""
    if argument == "-":
        try:
            return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise InputError(f"standard input is not UTF-8 (byte {error.start + 1:,})") from None
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError("the text is not UTF-8") from None
    return argument


def _print(text: str) -> None:
    """UTF-8 whatever the locale: the JSON must be the same everywhere, and the names of the labels have accents."""
    typer.echo(text.encode("utf-8"))
