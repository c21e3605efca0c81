"""`python -m training annotate`: labelling under the guide, from choosing rows to settled data."""

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from nlp_service.core.errors import InputError
from nlp_service.core.taxonomy import Taxonomy
from training.annotation.agreement import agreement, agreement_table
from training.annotation.settle import apply, clause_counts, differ, keep_readings, load_readings, reading_of, settled, write_disputes
from training.annotation.sheets import read_readings, sheet_clauses, write_sheet
from training.records import read_jsonl

app = typer.Typer(help=__doc__, no_args_is_help=True)

_Sheets = Annotated[list[Path], typer.Option("--sheet", help="sheet that was read; may be repeated", exists=True, dir_okay=False)]
_Answers = Annotated[list[Path], typer.Argument(help="files of answer lines: id|sentiment|signals|clauses", exists=True, dir_okay=False)]
_Records = Annotated[list[Path], typer.Argument(help="JSONL of our own records", exists=True, dir_okay=False)]
_Readings = Annotated[Path, typer.Option(help="folder of the readings: first.txt, second.txt, third.txt")]
_Out = Annotated[Path, typer.Option(help="folder for the sheets; they hold the texts, keep them out of version control")]
_PerSheet = Annotated[int, typer.Option(help="texts a sheet", min=1)]
_READINGS = Path("data/readings")


@app.command()
def select(
    corpora: Annotated[Path, typer.Option(envvar="CX_CORPORA", help="folder of the public corpora")],
    rows: Annotated[list[str], typer.Argument(help="how many of each: CORPUS/LANGUAGE=COUNT, for example mabsa/es=400")],
    out: _Out,
    model: Annotated[Path, typer.Option(help="bundle that tells what it is unsure of", exists=True)] = Path("models/cx-es-en"),
    data: Annotated[Path, typer.Option(help="folder of the project's own labelled data")] = Path("data"),
    per_sheet: _PerSheet = 60,
) -> None:
    """Choose rows of the corpora that would teach most and write them as sheets."""
    from nlp_service.pipeline import Pipeline
    from training.annotation.selection import parse_wanted
    from training.annotation.selection import select as choose
    from training.data import Folders

    chosen = choose(Pipeline.load(model), Folders(data, corpora), parse_wanted(rows))
    _write_sheets([(c.id, c.lang, c.text) for c in chosen], out, per_sheet)


@app.command()
def sheets(files: _Records, out: _Out, per_sheet: _PerSheet = 50) -> None:
    """Write our own records as sheets without their labels, in random order, for a reader who has not seen them."""
    _write_sheets([(r["id"], r["lang"], r["text"]) for r in _read(files)], out, per_sheet)


def _write_sheets(texts: list[Any], out: Path, per_sheet: int, write: Callable[[Path, list[Any]], None] = write_sheet) -> None:
    random.Random(13).shuffle(texts)
    out.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(texts), per_sheet):
        write(out / f"{start // per_sheet:03d}.txt", texts[start : start + per_sheet])
    typer.echo(f"{len(texts)} texts in {-(-len(texts) // per_sheet)} sheets")


@app.command()
def check(sheet: _Sheets, answers: _Answers) -> None:
    """Check readings against their sheets: every fault with its line, and the texts that are not read yet."""
    clauses = {key: count for path in sheet for key, count in sheet_clauses(path).items()}
    faults: list[str] = []
    read = {reading.id for reading in read_readings(answers, clauses, Taxonomy.default(), faults)}
    missing = sorted(clauses.keys() - read)
    if missing:
        faults.append(f"{len(missing)} texts are not read: {', '.join(missing[:10])}{' ...' if len(missing) > 10 else ''}")
    _stop_on(faults)
    typer.echo(f"{len(read)} texts, no fault")


@app.command("import")
def import_(
    answers: _Answers,
    out: Annotated[Path, typer.Option(help="file of labels by reference, a new one, for example data/real/third.jsonl")],
    corpora: Annotated[Path, typer.Option(envvar="CX_CORPORA", help="folder of the public corpora")],
) -> None:
    """Turn readings of corpus rows into labels by reference: the row's id, labels and offsets, never its text."""
    from training.annotation.references import as_references

    if out.exists():
        raise InputError(f"{out}: exists; its labels would be lost")
    faults: list[str] = []
    rows = as_references(answers, corpora, Taxonomy.default(), faults)
    _stop_on(faults)
    _write(out, rows)
    typer.echo(f"{len(rows)} rows: {dict(Counter(row['split'] for row in rows))}")


@app.command()
def disputes(files: _Records, out: _Out, readings: _Readings = _READINGS, per_sheet: _PerSheet = 50) -> None:
    """Keep the first labels of the records as readings, and write the texts that the second reader read differently as sheets."""
    records = _read(files)
    taxonomy = Taxonomy.default()
    clauses = clause_counts(records)
    first, second, third = (load_readings(readings / f"{name}.txt", clauses, taxonomy) for name in ("first", "second", "third"))
    fresh = {r["id"]: reading_of(r) for r in records if r["id"] not in first}
    keep_readings(readings / "first.txt", fresh.values())
    first |= fresh
    open_cases = [
        (r, first[r["id"]], second[r["id"]])
        for r in records
        if r["id"] in second and r["id"] not in third and differ(first[r["id"]], second[r["id"]])
    ]
    typer.echo(f"{len(second)} of {len(records)} records read twice, {len(open_cases)} to settle")
    _write_sheets(open_cases, out, per_sheet, write_disputes)


@app.command()
def settle(files: _Records, readings: _Readings = _READINGS) -> None:
    """Write the settled labels into the records: what both readers say, or what the third one decided."""
    taxonomy, faults, count = Taxonomy.default(), [], 0
    for path in files:
        records = _read([path])
        clauses = clause_counts(records)
        first, second, third = (load_readings(readings / f"{n}.txt", clauses, taxonomy) for n in ("first", "second", "third"))
        out = []
        for record in records:
            key = record["id"]
            if key not in first or key not in second:
                out.append(record)
                continue
            try:
                out.append(apply(record, settled(first[key], second[key], third.get(key))))
                count += 1
            except InputError as error:
                faults.append(str(error))
        if not faults:
            _write(path, out)
    _stop_on(faults)
    typer.echo(f"{count} records settled")


@app.command("agreement")
def agreement_(
    files: _Records,
    readings: _Readings = _READINGS,
    split: Annotated[str, typer.Option(help="only the records of this split")] = "all",
    with_settled: Annotated[
        bool, typer.Option(help="the second reader beside the settled labels: what a person reaches where a model is measured")
    ] = False,
) -> None:
    """How far the first and the second reader agree, label by label."""
    records, taxonomy = [record for record in _read(files) if split in ("all", record["split"])], Taxonomy.default()
    clauses = clause_counts(records)
    second = load_readings(readings / "second.txt", clauses, taxonomy)
    first = {r["id"]: reading_of(r) for r in records} if with_settled else load_readings(readings / "first.txt", clauses, taxonomy)
    languages = {record["id"]: record["lang"] for record in records}
    typer.echo(agreement_table(agreement(first, second, languages, taxonomy), taxonomy))


def _read(files: list[Path]) -> list[dict[str, Any]]:
    return [row for path in files for _, row in read_jsonl(path)]


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def _stop_on(faults: list[str]) -> None:
    for fault in faults:
        typer.echo(fault, err=True)
    if faults:
        raise typer.Exit(1)
