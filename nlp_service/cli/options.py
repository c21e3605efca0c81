"""What several commands share: which model, where it runs, and how errors are shown."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import nlp_service
from nlp_service.core.errors import InputError, ServiceError

if TYPE_CHECKING:
    from nlp_service.pipeline import Pipeline

DEFAULT_MODEL = "cx-es-en"
ENVIRONMENT = "NLP_SERVICE_MODEL"
DEFAULT_MEMORY = 64
MEGABYTE = 2**20


class Device(StrEnum):
    """Where the model runs."""

    cpu = "cpu"
    cuda = "cuda"


class Precision(StrEnum):
    """Arithmetic of the engine."""

    auto = "auto"
    fp32 = "fp32"
    int8 = "int8"


class Language(StrEnum):
    """Language of what people read."""

    es = "es"
    en = "en"


ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="FOLDER|fake",
        help=f"Bundle to use, or `fake` for a model without weights. Default: ${ENVIRONMENT}, else models/{DEFAULT_MODEL} here or "
        "beside the installed source.",
    ),
]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where the model runs; cuda needs the extra `gpu`.")]
PrecisionOption = Annotated[
    Precision,
    typer.Option("--precision", help="auto: the fastest that the machine has; fp32: the same on every machine; int8: CPUs with VNNI."),
]
CompiledOption = Annotated[
    Path | None,
    typer.Option("--compiled", envvar="NLP_SERVICE_COMPILED", metavar="FOLDER", help="Keep the compiled model here, for quicker starts."),
]
MemoryOption = Annotated[
    int,
    typer.Option("--memory", metavar="MB", min=0, help="Kept of the texts read last, so that exact copies are read once; 0: nothing."),
]


def find_model(given: str | None) -> str:
    """The bundle folder to use, or `fake`. Raises InputError, saying what to do, where there is none."""
    named = given or os.environ.get(ENVIRONMENT)
    if named:
        if named != "fake" and not Path(named).is_dir():
            source = "--model" if given else ENVIRONMENT
            raise InputError(f"{source}: {named}: no such folder; name the folder of a bundle, or `fake`")
        return named
    places = [Path("models", DEFAULT_MODEL), Path(nlp_service.__file__).resolve().parents[1] / "models" / DEFAULT_MODEL]
    for place in places:
        if place.joinpath("manifest.json").is_file():
            return str(place)
    raise InputError(
        f"no model: there is none in {' or '.join(str(place) for place in places)}; name a bundle's folder with --model or {ENVIRONMENT}, "
        "or try `--model fake`"
    )


def load_pipeline(
    model: str | None, device: Device, precision: Precision, memory: int = DEFAULT_MEMORY, compiled: Path | None = None
) -> "Pipeline":
    """The pipeline of the model found. Raises InputError or BundleError."""
    found = find_model(model)
    from nlp_service.pipeline import Pipeline  # seconds of imports, which --help must not wait for

    return Pipeline.load(found, device=device.value, precision=precision.value, memory_bytes=memory * MEGABYTE, compiled=compiled)


@contextmanager
def user_errors() -> Iterator[None]:
    """Shows errors that the user can mend as one line on stderr, and exits with 2."""
    try:
        yield
    except ServiceError as error:
        _fail(str(error))
    except OSError as error:
        if error.filename is None and error.strerror is None:
            raise
        _fail(": ".join(str(part) for part in (error.filename, error.strerror) if part))


def _fail(message: str) -> None:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    raise typer.Exit(2)
