"""The model card of a bundle, written from its manifest."""

from pathlib import Path
from typing import Any

from nlp_service.core.taxonomy import HEADS
from nlp_service.model.bundle import Manifest
from training.corpora import load_mapping
from training.evaluate import calibration_table, label_table, table

_LIMITS = """\
- Spanish and English only. Other languages are answered with `language_unsupported`; a short text in a close relative (Galician,
  Portuguese, Catalan) can be taken for Spanish.
- Trained and measured on text that we wrote or labelled ourselves under one guide. Two readers of that guide agree with F1 0.92 on
  emotions, 0.89 on touchpoints and 0.77 on pairs (`python -m training annotate agreement`); no model can be measured above that.
  Figures on your own text will differ: label some and run `python -m training evaluate`.
- Rare labels have few development texts; read their figures with the support beside them.
- Irony, hints and feelings told only by a story are found less often than feelings that are named.
- Emotions are what the words express, not what a person feels, and must not be used to judge individual people.
"""


def write_card(folder: Path, manifest: Manifest) -> None:
    """Writes `README.md` beside the manifest."""
    (folder / "README.md").write_text(card(manifest), "utf-8")


def card(manifest: Manifest) -> str:
    """The card in Markdown: what it is, how it was made, sources and licences, figures, limits."""
    shape, training, metrics = manifest.architecture, manifest.training, dict(manifest.metrics)
    split = metrics.pop("split", "dev")
    recipe = training["recipe"]
    languages = list(manifest.taxonomy.languages)
    parts = [
        f"# {manifest.name} {manifest.version}\n",
        "Reads customer feedback in Spanish and English: emotions, touchpoints, sentiment and signals of the text and of each clause.\n",
        f"- Encoder: `intfloat/multilingual-e5-small` (MIT), {shape.layers} layers x {shape.hidden_size}, vocabulary trimmed to "
        f"{shape.vocab_size:,} pieces; heads: label-wise attention over token spans (docs/decisions/0002-model.md).",
        f"- Labels: {', '.join(f'{len(manifest.taxonomy.labels(head))} {head}' for head in HEADS)}; taxonomy version "
        f"{manifest.taxonomy.version}.",
        f"- Made by `training/recipes/{recipe['name']}.yaml`, seed {recipe['seed']}, "
        f"best epoch {training['best_epoch'] + 1}; weights in fp16.",
        "- Calibration and thresholds were fitted on the split `calibration`, the figures below measured on the split "
        f"`{split}`; neither was trained on ({training['held_back']}).\n",
        "## Sources\n",
        _sources(training["rows"], recipe),
        "\nOf a corpus each epoch draws a share (`rows_per_epoch` of the recipe, and of the one it starts from).\n",
        "## Figures\n",
        table(metrics),
        "\nMacro F1 is the mean over the labels that occur in the row's texts.\n",
        *(f"### {head.capitalize()}\n\n{label_table(metrics, head, languages)}\n" for head in HEADS if head != "sentiment"),
        "### Calibration and automatic decisions\n",
        calibration_table(metrics, ["all", *languages]),
        "\n### Decisions\n",
        _decisions(manifest),
        "\n## Limits\n",
        _LIMITS,
    ]
    return "\n".join(parts)


def _sources(rows: dict[str, int], recipe: dict[str, Any]) -> str:
    lines = ["| source | licence | attribution | rows drawn from |", "|---|---|---|---|"]
    for source in recipe["sources"]:
        if source["kind"] == "corpus":
            mapping = load_mapping(source["corpus"])
            licence, attribution = mapping.licence, mapping.attribution
        else:
            ours = "labels ours, by reference; texts of the corpora below" if source["kind"] == "references" else "written for this project"
            licence, attribution = "Apache-2.0", ours
        lines.append(f"| {source['name']} | {licence} | {attribution} | {rows[source['name']]:,} |")
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
