"""A public corpus in its own labels: the same network and loop, measured as the corpus's authors do (macro F1 on its split `dev`)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from nlp_service.core.errors import InputError
from nlp_service.core.taxonomy import Emotion, Taxonomy
from nlp_service.model.encoding import Encoder
from nlp_service.model.network import CxNetwork
from nlp_service.preparation import Preparation
from training.calibrate import best_f1_threshold
from training.corpora import load_corpus
from training.data import Folders
from training.evaluate import Counts
from training.examples import Example, examples
from training.loop import train
from training.reading import text_probabilities
from training.recipe import EncoderConfig, Optimisation, Recipe, RecordSource
from training.records import Record, Split, normalised
from training.run import BASE, RECIPE, prepare_base, refuse_other

_CALIBRATION = 12  # every so many-th training row decides epochs and thresholds and is not trained on


class NativeRecipe(BaseModel):
    """`languages` are trained together and measured apart; `seeds`: one run each, reported as mean and standard deviation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: str
    languages: list[str] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)
    max_tokens: int = Field(128, ge=16, le=512)
    encoder: EncoderConfig = EncoderConfig()
    optimisation: Optimisation


@dataclass(frozen=True)
class NativeScore:
    """Macro F1 over the labels that a language has, for each seed."""

    language: str
    texts: int
    labels: int
    macro_f1: tuple[float, ...]


def native_scores(recipe: NativeRecipe, runs: Path, folders: Folders) -> list[NativeScore]:
    """Trains one run a seed under `runs` (a finished one is not trained again) and measures each language."""
    if folders.corpora is None:
        raise InputError("give the folder of the corpora (--corpora)")
    rows = [row for row in load_corpus(folders.corpora, recipe.corpus) if row["lang"] in recipe.languages]
    taxonomy = _taxonomy(rows)
    each = [_run(recipe, seed, rows, taxonomy, runs / f"{recipe.corpus}-{seed}", folders) for seed in recipe.seeds]
    out = []
    for language in recipe.languages:
        found = [scores[language] for scores in each]
        out.append(NativeScore(language, found[0]["texts"], found[0]["labels"], tuple(s["macro_f1"] for s in found)))
    return out


def _taxonomy(rows: Sequence[dict[str, Any]]) -> Taxonomy:
    """The native labels as the only head."""
    names = sorted({label for row in rows for label in row["labels"]})
    emotions = tuple(Emotion(id=name, es=name, en=name, cluster="native", valence=0) for name in names)
    return Taxonomy(version=0, languages=("es", "en"), emotions=emotions, stages=(), touchpoints=(), sentiment=(), signals=())


def _records(rows: Sequence[dict[str, Any]], taxonomy: Taxonomy) -> dict[Split, list[Record]]:
    """The corpus's own training and development rows; no text of the latter is trained on."""
    out: dict[Split, list[Record]] = {"train": [], "calibration": [], "dev": []}
    measured = {normalised(row["text"]) for row in rows if row["split"] == "dev"}
    for i, row in enumerate(rows):
        if row["split"] not in ("train", "dev") or (row["split"] == "train" and normalised(row["text"]) in measured):
            continue
        split: Split = "dev" if row["split"] == "dev" else "calibration" if i % _CALIBRATION == 0 else "train"
        known = frozenset(row.get("annotated") or taxonomy.label_ids)
        out[split].append(Record(row["id"], row["text"], row["lang"], "native", split, frozenset(row["labels"]), known))
    return out


def _run(
    recipe: NativeRecipe, seed: int, rows: Sequence[dict[str, Any]], taxonomy: Taxonomy, run: Path, folders: Folders
) -> dict[str, dict[str, Any]]:
    alone = recipe.model_copy(update={"seeds": [seed]})
    refuse_other(alone, run)
    if (run / "scores.json").exists():
        scores: dict[str, dict[str, Any]] = json.loads((run / "scores.json").read_text("utf-8"))
        return scores
    run.mkdir(parents=True, exist_ok=True)
    (run / RECIPE).write_text(alone.model_dump_json(indent=1), "utf-8")
    encoder, tokenizer = prepare_base(recipe.encoder, folders, run / BASE)
    preparation = Preparation(Encoder(tokenizer, recipe.max_tokens))
    records = _records(rows, taxonomy)
    training, calibration = (list(examples(records[name], preparation, taxonomy, 0, 1.0)) for name in ("train", "calibration"))
    source = RecordSource(name="native", kind="records", paths=["-"])
    loop = Recipe(name=recipe.corpus, seed=seed, sources=[source], optimisation=recipe.optimisation)
    network = CxNetwork(encoder, len(taxonomy.label_ids))
    pad_id = encoder.config.pad_token_id
    train(loop, network, pad_id, [training], calibration, taxonomy, run)
    tokens = recipe.optimisation.tokens_per_batch
    thresholds = _thresholds(calibration, text_probabilities(network, calibration, pad_id, tokens))
    scores = {}
    for language in recipe.languages:
        dev = list(examples([r for r in records["dev"] if r.lang == language], preparation, taxonomy, 0, 1.0))
        scores[language] = _score(dev, text_probabilities(network, dev, pad_id, tokens) >= thresholds)
    (run / "scores.json").write_text(json.dumps(scores, indent=1), "utf-8")
    return scores


def _thresholds(rows: Sequence[Example], p: NDArray[np.float64]) -> NDArray[np.float64]:
    targets = np.stack([row.targets[0] for row in rows])
    out = np.full(targets.shape[1], 0.5)
    for i in range(targets.shape[1]):
        known = targets[:, i] >= 0
        if (targets[known, i] == 1).any():
            out[i] = best_f1_threshold(p[known, i], targets[known, i] == 1)
    return out


def _score(rows: Sequence[Example], chosen: NDArray[np.bool_]) -> dict[str, Any]:
    targets = np.stack([row.targets[0] for row in rows])
    f1 = []
    for i in range(targets.shape[1]):
        true, found = targets[:, i] == 1, chosen[:, i] & (targets[:, i] >= 0)
        if true.any():
            f1.append(Counts(int((true & found).sum()), int((found & ~true).sum()), int((true & ~found).sum())).f1)
    return {"macro_f1": round(float(np.mean(f1)), 4) if f1 else 0.0, "labels": len(f1), "texts": len(rows)}


def native_table(scores: Sequence[NativeScore]) -> str:
    """Mean and standard deviation over the seeds, as a Markdown table."""
    lines = ["| language | texts | labels | macro F1 | seeds |", "|---|---|---|---|---|"]
    for s in scores:
        mean, deviation = np.mean(s.macro_f1), np.std(s.macro_f1, ddof=1) if len(s.macro_f1) > 1 else 0.0
        each = ", ".join(f"{x:.3f}" for x in s.macro_f1)
        lines.append(f"| {s.language} | {s.texts} | {s.labels} | {mean:.3f} ± {deviation:.3f} | {each} |")
    return "\n".join(lines)
