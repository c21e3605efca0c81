"""`python -m benchmarks`: engines and servers side by side, on the same encoder weights and the same texts, in one run."""

import json
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.processes import Engine, set_up
from nlp_service.core.errors import ServiceError
from nlp_service.model.bundle import Bundle

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)

Environments = Annotated[Path, typer.Option(help="folder of the peers' environments")]
Results = Annotated[Path, typer.Option(help="JSON file that the results are added to")]
Model = Annotated[Path, typer.Option(help="folder of a bundle", exists=True, file_okay=False)]
Corpora = Annotated[Path | None, typer.Option(envvar="CX_CORPORA", help="folder of the public corpora; without it, our own records")]
_ENVIRONMENTS, _RESULTS, _WORK = Path("out/environments"), Path("out/benchmarks.json"), Path("out/benchmarks")
_FULL, _FAST = Path("models/cx-es-en"), Path("models/cx-es-en-fast")


@app.command()
def setup(environments: Environments = _ENVIRONMENTS) -> None:
    """Make an environment for each peer. Gigabytes: most of them bring torch."""
    set_up(environments)


@app.command()
def archive(
    model: Model = _FULL,
    fast: Model = _FAST,
    corpora: Corpora = None,
    count: Annotated[int, typer.Option(help="texts of each set", min=32)] = 1000,
    rounds: Annotated[int, typer.Option(help="rounds, the first one to warm up", min=1)] = 4,
    peers: Annotated[bool, typer.Option(help="measure the peers too")] = True,
    environments: Environments = _ENVIRONMENTS,
    results: Results = _RESULTS,
) -> None:
    """Documents a second, CPU seconds, peak memory and start-up of each engine on archive-like, short, long and repeated texts."""
    from benchmarks.measure import throughput, write_json
    from benchmarks.texts import write_sets
    from benchmarks.weights import write_peer_weights

    sets = write_sets(_WORK / "texts", Path("data"), corpora, count)
    engines = [
        Engine("ours", "ours", model),
        Engine("ours fp32", "ours", model, ("--precision", "fp32")),
        Engine("ours fast", "ours", fast),
    ]
    if peers:
        weights = _WORK / "weights"
        write_peer_weights(Bundle.load(model), weights)
        engines += [
            *(Engine(f"transformers pipeline, batch {n}", "transformers_pipeline", weights, (str(n),), "transformers") for n in (1, 8, 32)),
            *(Engine(f"optimum-onnx, batch {n}", "optimum_onnx", weights, (str(n),), "onnx") for n in (8, 32)),
            *(Engine(f"optimum-intel, batch {n}", "optimum_openvino", weights, (str(n),), "openvino") for n in (8, 32)),
            Engine("VADER", "vader", weights, (), "baselines"),
            Engine("fastText", "fasttext_labels", weights, ("data/original",), "baselines"),
        ]
    write_json(results, archive=throughput(engines, sets, count, rounds, environments))


@app.command()
def limit(model: Model = _FULL, results: Results = _RESULTS) -> None:
    """The matrix products of the encoder back to back, in each precision of this machine."""
    from benchmarks.limit import limit as measure
    from benchmarks.measure import write_json

    shape = Bundle.load(model).manifest.architecture
    write_json(results, limit=[measure(shape, precision) for precision in ("f32", "bf16", "i8")])
    typer.echo(json.loads(results.read_text("utf-8"))["limit"])


def main() -> None:
    """Runs the command line; errors that a user can mend are one line."""
    try:
        app()
    except ServiceError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
