"""`python -m benchmarks`: engines and servers side by side, on the same encoder weights and the same texts, in one run."""

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
    count: Annotated[int, typer.Option(help="texts like an archive's; of the other sets a quarter", min=128)] = 1024,
    rounds: Annotated[int, typer.Option(help="rounds, the first one to warm up", min=1)] = 3,
    peers: Annotated[bool, typer.Option(help="measure the peers too")] = True,
    environments: Environments = _ENVIRONMENTS,
    results: Results = _RESULTS,
) -> None:
    """Documents a second, CPU seconds, peak memory and start-up of each engine on archive-like, short, long and repeated texts."""
    from benchmarks.measure import throughput, write_json
    from benchmarks.texts import describe, write_sets
    from benchmarks.weights import write_peer_weights
    from nlp_service.model.encoding import Encoder
    from nlp_service.preparation import Preparation

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
    bundle = Bundle.load(model)
    prepare = Preparation(Encoder(bundle.tokenizer, bundle.manifest.preparation.max_tokens))
    write_json(results, sets=[describe(name, path, prepare) for name, path in sets.items()])
    write_json(results, archive=throughput(engines, sets, rounds, environments))


@app.command()
def agreement(
    model: Model = _FULL,
    fast: Model = _FAST,
    corpora: Corpora = None,
    count: Annotated[int, typer.Option(help="texts", min=32)] = 2000,
    precision: Annotated[str, typer.Option(help="auto: what this machine takes; int8")] = "auto",
    results: Results = _RESULTS,
) -> None:
    """How far decisions and probabilities in this machine's precision are from those in fp32."""
    from benchmarks.agreement import agreement as measure
    from benchmarks.measure import write_json
    from benchmarks.texts import read, write_sets

    texts = read(write_sets(_WORK / "texts", Path("data"), corpora, count)["archive"])
    write_json(results, agreement=[measure(bundle, precision, texts) for bundle in (model, fast)])


@app.command()
def single(model: Model = _FULL, fast: Model = _FAST, corpora: Corpora = None, results: Results = _RESULTS) -> None:
    """One text at a time, against the bare network."""
    from benchmarks.measure import write_json
    from benchmarks.single import single as measure
    from benchmarks.texts import read, write_sets

    texts = read(write_sets(_WORK / "texts", Path("data"), corpora, 200)["archive"])
    write_json(results, single=[measure(bundle, "auto", texts) for bundle in (model, fast)])


@app.command()
def serving(
    model: Model = _FULL,
    fast: Model = _FAST,
    corpora: Corpora = None,
    rates: Annotated[str, typer.Option(help="requests a second, with commas between")] = "5,10,20,40",
    seconds: Annotated[float, typer.Option(help="of each load")] = 15,
    p99: Annotated[float, typer.Option(help="milliseconds that the 99th percentile may take at the highest rate")] = 500,
    environments: Environments = _ENVIRONMENTS,
    results: Results = _RESULTS,
) -> None:
    """Servers under load: latencies at fixed rates, and the most that each serves at an equal 99th percentile."""
    from benchmarks import servers
    from benchmarks.measure import write_json
    from benchmarks.serving import serving as measure
    from benchmarks.texts import read, write_sets
    from benchmarks.weights import write_peer_weights

    weights = _WORK / "weights"
    write_peer_weights(Bundle.load(model), weights)
    texts = read(write_sets(_WORK / "texts", Path("data"), corpora, 1000)["archive"])
    started = [servers.ours("ours", model), servers.ours("ours fast", fast), servers.infinity(weights), servers.litserve(weights)]
    write_json(results, serving=measure(started, texts, [float(rate) for rate in rates.split(",")], seconds, p99, environments))


@app.command()
def growth(
    model: Model = _FAST,
    rows: Annotated[str, typer.Option(help="rows of the jobs, with commas between")] = "1000,10000,100000,1000000",
    processes: Annotated[str, typer.Option(help="processes that share a job, with commas between")] = "1,2",
    memory: Annotated[int, typer.Option(help="megabytes of texts that the job remembers; its texts are 20,000 over and over")] = 64,
    corpora: Corpora = None,
    results: Results = _RESULTS,
) -> None:
    """Seconds and peak memory of scoring jobs of growing size."""
    from benchmarks.growth import growth as measure
    from benchmarks.measure import write_json
    from benchmarks.texts import write_sets

    texts = write_sets(_WORK / "texts", Path("data"), corpora, 20_000)["archive"]
    jobs = [(int(n), int(p)) for n in rows.split(",") for p in processes.split(",")]
    write_json(results, growth=[measure(model, texts, n, p, _WORK / "growth", memory) for n, p in jobs])


@app.command()
def baselines(model: Model = _FULL, environments: Environments = _ENVIRONMENTS, results: Results = _RESULTS) -> None:
    """What cheap models get right on our records, and how many texts one of them could answer in front of ours."""
    from benchmarks.baselines import compare
    from benchmarks.measure import write_json

    accuracy, cascades = compare(model, Path("data"), _WORK, environments)
    write_json(results, baselines=accuracy, cascade=cascades)


@app.command()
def limit(
    model: Model = _FULL,
    fast: Model = _FAST,
    corpora: Corpora = None,
    count: Annotated[int, typer.Option(help="texts", min=32)] = 1024,
    results: Results = _RESULTS,
) -> None:
    """The matrix products of the encoder back to back, in each precision of this machine, and how near our networks come to them."""
    from benchmarks.limit import limit as measure
    from benchmarks.limit import native_precisions, share
    from benchmarks.measure import write_json
    from benchmarks.texts import read, write_sets

    shape = Bundle.load(model).manifest.architecture
    limits = [measure(shape, precision) for precision in native_precisions()]
    best = max(limits, key=lambda one: one.tokens)
    texts = read(write_sets(_WORK / "texts", Path("data"), corpora, count)["archive"])
    write_json(results, limit=limits, share=[share(bundle, best.precision, texts) for bundle in (model, fast)])


@app.command()
def report(
    results: Results = _RESULTS, document: Annotated[Path, typer.Option(help="Markdown file to write")] = Path("docs/benchmarks.md")
) -> None:
    """Tables and plots of the results."""
    from benchmarks.report import write_report

    write_report(results, document)


@app.command("all")
def everything(corpora: Corpora = None, environments: Environments = _ENVIRONMENTS, results: Results = _RESULTS) -> None:
    """Everything above in one run, and the report."""
    shared = {"corpora": corpora, "results": results}
    set_up(environments)
    limit(**shared)
    archive(**shared, environments=environments)
    agreement(**shared)
    single(**shared)
    serving(**shared, environments=environments)
    growth(**shared)
    baselines(environments=environments, results=results)
    report(results)


def main() -> None:
    """Runs the command line; errors that a user can mend are one line."""
    try:
        app()
    except ServiceError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
