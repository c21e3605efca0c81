"""Which file format a name stands for."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Literal

from nlp_service.core.errors import InputError

InputFormat = Literal["csv", "tsv", "jsonl", "parquet"]
OutputFormat = Literal["csv", "jsonl", "parquet"]

_INPUTS: dict[str, InputFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_OUTPUTS: dict[str, OutputFormat] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}


def is_gzip(path: Path) -> bool:
    """Whether the name says that the file is compressed."""
    return path.suffix.lower() == ".gz"


def input_format(path: Path) -> InputFormat:
    """Format of an archive to read, by its extension. Raises InputError."""
    found = _INPUTS.get(path.with_suffix("").suffix.lower() if is_gzip(path) else path.suffix.lower())
    if found is None or (found == "parquet" and is_gzip(path)):
        raise InputError(f"{path}: cannot tell the format; inputs end in .csv, .tsv or .jsonl (.gz too) or in .parquet")
    return found


def output_format(path: Path) -> OutputFormat:
    """Format of the scored file, by its extension. Raises InputError."""
    found = _OUTPUTS.get(path.suffix.lower())
    if found is None:
        raise InputError(f"{path}: cannot tell the format; outputs end in .jsonl, .csv or .parquet")
    return found


def parquet() -> ModuleType:
    """The module `parquet` of this package. Raises InputError where pyarrow, which only it needs, is not installed."""
    try:
        return import_module("nlp_service.archive.parquet")
    except ModuleNotFoundError as error:
        raise InputError("Parquet needs pyarrow: pip install 'nlp-service[parquet]'") from error
