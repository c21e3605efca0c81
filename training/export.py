"""From a finished run to a bundle: weights in fp16, calibration and thresholds fitted, figures measured, model card written."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from nlp_service.core.decisions import Band, Bands, Calibration, PairModel
from nlp_service.core.errors import InputError
from nlp_service.core.taxonomy import Taxonomy
from nlp_service.model.bundle import (
    FORMAT,
    TOKENIZER,
    WEIGHTS,
    Architecture,
    Manifest,
    PreparationSettings,
    sha256,
    write_manifest,
)
from nlp_service.model.network import SOFT_CAP, CxNetwork
from nlp_service.pipeline import Pipeline
from training.calibrate import fit
from training.card import write_card
from training.data import Folders, TrainingData, load
from training.evaluate import evaluate
from training.quantise import snapped
from training.recipe import Recipe
from training.run import ENVIRONMENT, METRICS, RECIPE, load_network


def make_bundle(run: Path, folder: Path, folders: Folders) -> dict[str, Any]:
    """Writes the bundle of `run` into `folder` and returns its figures on the development split.

    Calibration is fitted on the split `calibration`, figures are measured on `dev`; neither was trained on. Raises InputError, and
    writes nothing, for a run that has not finished and for data without a development record.
    """
    metrics = json.loads((run / METRICS).read_text("utf-8")) if (run / METRICS).exists() else {}
    if "best_epoch" not in metrics:
        raise InputError(f"{run}: has not finished; repeat the command that trains it")
    recipe = Recipe.model_validate_json((run / RECIPE).read_text("utf-8"))
    taxonomy = Taxonomy.default()
    network, tokenizer = load_network(run)
    data = load(recipe, folders, taxonomy)
    if not data.held_back["dev"]:
        raise InputError("no source holds a record of split `dev`: nothing could tell how good the bundle is")
    weights = save({name: tensor.to(torch.float16).contiguous() for name, tensor in snapped(network.state_dict()).items()})
    tokens = tokenizer.to_str().encode("utf-8")
    now = datetime.now(UTC)
    manifest = Manifest(
        format=FORMAT, name=recipe.name, version=f"{now:%Y.%m.%d}-{sha256(weights)[:8]}", created=now.isoformat(timespec="seconds"),
        architecture=_architecture(network), preparation=PreparationSettings(max_tokens=recipe.max_tokens), taxonomy=taxonomy,
        calibration=Calibration.none(taxonomy.multi_label_ids, taxonomy.languages),
        thresholds=dict.fromkeys(taxonomy.multi_label_ids, Bands(suggest=Band(threshold=0.5))), pairs=PairModel(),
        files={WEIGHTS: sha256(weights), TOKENIZER: sha256(tokens)}, training=_provenance(run, recipe, metrics, data),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(weights)
    (folder / TOKENIZER).write_bytes(tokens)
    write_manifest(folder, manifest)
    return recalibrate(folder, data)


def recalibrate(folder: Path, data: TrainingData) -> dict[str, Any]:
    """Fits calibration and thresholds of an existing bundle anew, measures it and rewrites its manifest and card.

    Full precision on purpose: the figures must not depend on the processor that made them.
    """
    pipeline = Pipeline.load(folder, precision="fp32")
    if pipeline.manifest is None:
        raise ValueError("the fake model has no bundle")
    fitted = fit(pipeline, data.held_back["calibration"])
    manifest = pipeline.manifest.model_copy(
        update={"calibration": fitted.calibration, "thresholds": fitted.thresholds, "pairs": fitted.pairs, "metrics": {}}
    )
    write_manifest(folder, manifest)
    report = evaluate(Pipeline.load(folder, precision="fp32"), data.held_back["dev"])
    manifest = manifest.model_copy(update={"metrics": {"split": "dev", **_compact(report, manifest.taxonomy)}})
    write_manifest(folder, manifest)
    write_card(folder, manifest)
    return report


def _compact(report: dict[str, Any], taxonomy: Taxonomy) -> dict[str, Any]:
    """The report as a manifest carries it: label by label only for all texts and each language, without intervals."""

    def cut(value: Any, labels: bool) -> Any:
        if not isinstance(value, dict):
            return value
        return {k: cut(v, labels) for k, v in value.items() if not k.endswith("_interval") and (labels or k != "labels")}

    return {name: cut(group, name in ("all", *taxonomy.languages)) for name, group in report.items()}


def _architecture(network: CxNetwork) -> Architecture:
    config: Any = network.encoder.config
    return Architecture(
        vocab_size=config.vocab_size, hidden_size=config.hidden_size, layers=config.num_hidden_layers, heads=config.num_attention_heads,
        intermediate_size=config.intermediate_size, positions=config.max_position_embeddings, token_types=config.type_vocab_size,
        layer_norm_eps=config.layer_norm_eps, position_offset=0 if config.model_type == "bert" else config.pad_token_id + 1,
        pad_token_id=config.pad_token_id, attention_soft_cap=SOFT_CAP,
    )  # fmt: skip


def _provenance(run: Path, recipe: Recipe, metrics: dict[str, Any], data: TrainingData) -> dict[str, Any]:
    """The recipe, the environment and what each source gave; no path of a machine."""
    return {
        "recipe": recipe.model_dump(mode="json"),
        "environment": json.loads((run / ENVIRONMENT).read_text("utf-8")),
        "best_epoch": metrics["best_epoch"],
        "averaged": metrics.get("averaged", []),
        "sources": _sources(recipe, metrics, data),
        "held_back": {split: len(records) for split, records in data.held_back.items()},
    }


def _sources(recipe: Recipe, metrics: dict[str, Any], data: TrainingData) -> list[dict[str, Any]]:
    """`name`, `kind` and `rows` of all that the weights have learned from: of references each corpus, and the corpora of every step."""
    records: list[dict[str, Any]] = []
    corpora: dict[str, dict[str, Any]] = {}
    references: Counter[str] = Counter()
    for source in recipe.sources:
        if source.kind == "records":
            # Of then: the data may have grown since.
            records.append({"name": source.name, "kind": source.kind, "rows": metrics["sources"][source.name]["rows"]})
        if source.kind == "references":
            references.update(record.id.split("-")[0] for record in data.train[source.name])
    step: Recipe | None = recipe
    while step:
        for source in step.sources:
            if source.kind == "corpus":
                corpora[source.corpus] = max(corpora.get(source.corpus, 0), metrics["sources"][source.name]["rows"])
        before = Path(step.start_from) if step.start_from else None
        step = Recipe.model_validate_json((before / RECIPE).read_text("utf-8")) if before else None
        metrics = json.loads((before / METRICS).read_text("utf-8")) if before else {}
    return [
        *records,
        *({"name": name, "kind": "references", "rows": rows} for name, rows in sorted(references.items())),
        *({"name": name, "kind": "corpus", "rows": rows} for name, rows in sorted(corpora.items())),
    ]
