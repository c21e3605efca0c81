"""The model card of a bundle, written from its manifest."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nlp_service.core.taxonomy import HEADS
from nlp_service.model.bundle import Manifest
from training.corpora import load_mapping
from training.evaluate import calibration_table, label_table, table

_LIMITS = """\
- Spanish and English only. Other languages are answered with `language_unsupported`; a short text in a close relative (Galician,
  Portuguese, Catalan) can be taken for Spanish.
- Trained and measured on text that we wrote or labelled ourselves under one guide, in which readers agree far better than this model
  with them (`python -m training annotate agreement data/original/*.jsonl --split dev --with-settled`): what limits the figures is the
  size of the encoder and the number of labelled texts. Figures on your own text will differ: label some and run
  `python -m training evaluate`.
- `auto` aims at a precision of 95 % on the calibration texts; what it reached on others stands above, per head and language.
- Rare labels have few development texts; read their figures with the support beside them.
- Irony, hints and feelings told only by a story are found less often than feelings that are named.
- Emotions are what the words express, not what a person feels, and must not be used to judge individual people.
"""

_BESIDE = """
## Beside the other bundle

{table}

The same texts in the same run, in turns: `python -m training compare`."""


def write_card(folder: Path, manifest: Manifest, comparison: str = "") -> None:
    """Writes `README.md` beside the manifest; see `card`."""
    (folder / "README.md").write_text(card(manifest, comparison), "utf-8")


def card(manifest: Manifest, comparison: str = "") -> str:
    """The card in Markdown: what it is, how it was made, sources and licences, figures, limits.

    `comparison`: the table of training/compare.py, if this bundle was put beside others.
    """
    shape, training, metrics = manifest.architecture, manifest.training, dict(manifest.metrics)
    split = metrics.pop("split", "dev")
    recipe = training["recipe"]
    languages = [language for language in manifest.taxonomy.languages if language in metrics]
    parts = [
        f"# {manifest.name} {manifest.version}\n",
        "Reads customer feedback in Spanish and English: emotions, touchpoints, sentiment and signals of the text and of each clause.\n",
        f"- Encoder: `{recipe['encoder']['source']}`, {shape.layers} layers x {shape.hidden_size}, vocabulary trimmed to "
        f"{shape.vocab_size:,} pieces; heads: label-wise attention over token spans (docs/decisions/0002-model.md).",
        f"- Labels: {', '.join(f'{len(manifest.taxonomy.labels(head))} {head}' for head in HEADS)}; taxonomy version "
        f"{manifest.taxonomy.version}.",
        f"- Made by the recipe `{recipe['name']}`, {_made(training)}; weights in fp16.",
        "- Calibration and thresholds were fitted on the split `calibration`, the figures below measured on the split "
        f"`{split}`; neither was trained on ({training['held_back']}).\n",
        "## Sources\n",
        _sources(training["sources"]),
        "\nOf a corpus each epoch draws a share (`rows_per_epoch` of the recipe, and of those it starts from).\n",
        "## Figures\n",
        table(metrics),
        "\nMacro F1 is the mean over the labels that occur in the row's texts.\n",
        *(f"### {head.capitalize()}\n\n{label_table(metrics, head, languages)}\n" for head in HEADS if head != "sentiment"),
        "### Calibration and automatic decisions\n",
        calibration_table(metrics, ["all", *languages]),
        "\n### Decisions\n",
        _decisions(manifest),
        *([_BESIDE.format(table=comparison)] if comparison else []),
        "\n## Limits\n",
        _LIMITS,
    ]
    return "\n".join(parts)


def _made(training: dict[str, Any]) -> str:
    if training["averaged"]:
        parts = Counter(training["averaged"])
        return f"the mean of the runs {', '.join(f'{run} ({n} of {parts.total()})' for run, n in parts.items())}"
    return f"seed {training['recipe']['seed']}, best epoch {training['best_epoch'] + 1}"


def _sources(sources: Sequence[dict[str, Any]]) -> str:
    lines = ["| source | what was learned from it | licence | attribution | rows |", "|---|---|---|---|---|"]
    for source in sources:
        if source["kind"] == "records":
            lines.append(f"| {source['name']} | texts and labels of ours | Apache-2.0 | written for this project | {source['rows']:,} |")
            continue
        mapping = load_mapping(source["name"])
        what = "labels of ours on its texts" if source["kind"] == "references" else "its own labels, folded into ours"
        lines.append(f"| {source['name']} | {what} | {mapping.licence} | {mapping.attribution} | {source['rows']:,} |")
    return "\n".join(lines)


def _decisions(manifest: Manifest) -> str:
    lines = ["| label | suggest from | precision | recall | auto from | precision | recall |", "|---|---|---|---|---|---|---|"]
    for name, bands in manifest.thresholds.items():
        cells = []
        for band in (bands.suggest, bands.auto):
            figures = (band.threshold, band.precision, band.recall) if band else (None,) * 3
            cells += ["-" if x is None else f"{x:.2f}" for x in figures]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
