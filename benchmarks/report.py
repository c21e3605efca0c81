"""docs/benchmarks.md and its plots, made of the file of results and of nothing else."""

import json
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

Row = Mapping[str, Any]
_TEMPLATE = Path(__file__).with_name("report.md")
_REFERENCE = "transformers pipeline"


def write_report(results: Path, document: Path) -> None:
    """Fills the tables of report.md into `document`, with plots in a folder of the same name beside it."""
    told = json.loads(results.read_text("utf-8"))
    plots = document.with_suffix("")
    plots.mkdir(parents=True, exist_ok=True)
    _plot_archive(told["archive"], plots / "archive.svg")
    _plot_serving([row for row in told["serving"] if row["kind"] == "fixed"], plots / "serving.svg")
    template = string.Template(_TEMPLATE.read_text("utf-8"))
    document.write_text(template.substitute(
        when=told["when"], machine=told["machine"], targets=_targets(told), limit=table(told["limit"]),
        share=table([{**row, "share": f"{row['share']:.0%}"} for row in told["share"]]),
        sets=table(told["sets"]), archive=_archive(told["archive"]),
        agreement=table(told["agreement"]), single=table(told["single"]), growth=table(told["growth"]),
        fixed=table([_without(row, "kind") for row in told["serving"] if row["kind"] == "fixed"]),
        highest=table([_without(row, "kind", "cpu_seconds_a_thousand") for row in told["serving"] if row["kind"] == "highest"]),
        baselines=table(told["baselines"]), cascade=table(told["cascade"]),
    ), "utf-8")  # fmt: skip


def _targets(told: Mapping[str, Any]) -> str:
    """What we want of the engine, and what these results say."""
    speed = {row["engine"]: row["documents_a_second"] for row in told["archive"] if row["texts"] == "archive"}
    reference = max(rate for name, rate in speed.items() if name.startswith(_REFERENCE))
    peer = max(rate for name, rate in speed.items() if name.startswith((_REFERENCE, "optimum")))
    most = {row["server"]: row["good"] for row in told["serving"] if row["kind"] == "highest"}
    single, share, agreement = (told[name][0] for name in ("single", "share", "agreement"))
    alone = [row for row in told["growth"] if row["processes"] == 1]
    grown = max(alone, key=lambda row: row["rows"])
    base = next(row for row in alone if row["rows"] == 10_000)
    least = [
        ("archive: ours over the transformers pipeline at its best batch", 6, speed["ours"] / reference),
        ("archive: ours over the best peer at its best batch", 1.5, speed["ours"] / peer),
        ("archive: the fast bundle over the full one", 1.8, speed["ours fast"] / speed["ours"]),
        ("server: good answers over infinity's within the same 99th percentile", 2, most["ours"] / most["infinity"]),
        ("sorted batches: share of the bare products", 0.5, share["share"]),
    ]
    top = [
        ("one text: median over the bare network's", 1.3, single["ratio"]),
        (f"memory: a job of {grown['rows']:,} rows over one of 10,000", 1.1, grown["peak_mb"] / base["peak_mb"]),
        ("reduced precision: share of `auto` decisions that differ", 0.002, agreement["flipped_auto"]),
        ("reduced precision: 99th percentile of the differences of probabilities", 0.02, agreement["p99"]),
        ("the same text alone and among others: largest difference", 0.005, agreement["company"]),
    ]
    return table([
        *({"what": what, "wanted": f"at least {bound:g}", "measured": f"{x:.3g}", "reached": _yes(x >= bound)} for what, bound, x in least),
        *({"what": what, "wanted": f"at most {bound:g}", "measured": f"{x:.3g}", "reached": _yes(x <= bound)} for what, bound, x in top),
    ])  # fmt: skip


def _yes(reached: bool) -> str:
    return "yes" if reached else "no"


def _archive(rows: Sequence[Row]) -> str:
    """Documents a second of each engine on each set, and how many times the reference's at its best batch size."""
    sets = list(dict.fromkeys(row["texts"] for row in rows))
    engines = list(dict.fromkeys(row["engine"] for row in rows))
    speed = {(row["engine"], row["texts"]): row["documents_a_second"] for row in rows}
    best = {
        name: max((s for (engine, texts), s in speed.items() if texts == name and engine.startswith(_REFERENCE)), default=0)
        for name in sets
    }
    about = {row["engine"]: row for row in rows if row["texts"] == "archive"}
    return table([
        {
            "engine": engine,
            **{name: f"{speed[engine, name]:.1f}" + (f" ({speed[engine, name] / best[name]:.2f}×)" if best[name] else "") for name in sets},
            "CPU s / 1,000": about[engine]["cpu_seconds_a_thousand"], "peak MB": about[engine]["peak_mb"],
            "start s": about[engine]["start_seconds"],
        }
        for engine in engines
    ])  # fmt: skip


def _plot_archive(rows: Sequence[Row], path: Path) -> None:
    chosen = sorted((row for row in rows if row["texts"] == "archive"), key=lambda row: row["documents_a_second"])
    figure, axes = plt.subplots(figsize=(8, 0.35 * len(chosen) + 1))
    ours = ["#1f6f8b" if row["engine"].startswith("ours") else "#b0b8bf" for row in chosen]
    axes.barh([row["engine"] for row in chosen], [row["documents_a_second"] for row in chosen], color=ours)
    axes.set_xscale("log")
    axes.set_xlabel("documents a second (archive-like texts, logarithmic)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def _plot_serving(rows: Sequence[Row], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 4))
    for name in dict.fromkeys(row["server"] for row in rows):
        own = sorted((row for row in rows if row["server"] == name), key=lambda row: row["offered"])
        axes.plot([row["offered"] for row in own], [row["p99"] for row in own], marker="o", label=name)
    axes.set_yscale("log")
    axes.set_xlabel("requests offered a second")
    axes.set_ylabel("99th percentile, ms")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def table(rows: Sequence[Row]) -> str:
    """A Markdown table with the rows' names as its head."""
    lines = ["| " + " | ".join(name.replace("_", " ") for name in rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(_cell(value) for value in row.values()) + " |" for row in rows)])


def _cell(value: Any) -> str:
    if value is None or value != value:  # not a number: there was none to count
        return "–"
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{1 if abs(value) >= 10 else 3 if abs(value) >= 0.1 else 4}f}"


def _without(row: Row, *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}
