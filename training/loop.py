"""The training loop, from data to the best weights; reads from top to bottom. One process or several (accelerate), CPU or GPU."""

import json
import math
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from nlp_service.core.taxonomy import Taxonomy
from nlp_service.model.network import CxNetwork
from training.examples import UNKNOWN, Example, collate
from training.reading import text_logits
from training.recipe import Optimisation, Recipe, Source
from training.scores import macro_average_precision

BEST = "best.safetensors"


@dataclass
class Progress:
    """Where a run stands; kept beside the weights of a checkpoint."""

    epoch: int = 0
    step_in_epoch: int = 0
    best_score: float = -1.0
    best_epoch: int = -1
    history: list[dict[str, float]] = field(default_factory=list)


def train(
    recipe: Recipe,
    network: CxNetwork,
    pad_id: int,
    sources: Sequence[list[Example]],
    held_back: list[Example],
    taxonomy: Taxonomy,
    run: Path,
) -> Progress:
    """Trains `network` in place and leaves the weights of the best epoch in it and in `run/best.safetensors`.

    `sources` holds the examples of each source of the recipe, in its order; `held_back` decides the best epoch and when to stop.
    A run that was killed goes on from `run/checkpoint/` with the same batches it would have seen.
    """
    options = recipe.optimisation
    accelerator = Accelerator(mixed_precision=_precision(options))
    set_seed(recipe.seed)
    torch.set_flush_denormal(True)  # vanishing activations and gradients would slow a CPU many times over
    if options.freeze_word_embeddings:
        network.encoder.get_input_embeddings().weight.requires_grad_(False)  # type: ignore[operator, union-attr]
    for name, module in network.encoder.named_modules():
        if isinstance(module, torch.nn.Dropout) and not name.endswith("attention.self.dropout"):
            module.p = options.dropout
    optimiser = torch.optim.AdamW(_parameter_groups(network, options), fused=True)
    model, optimiser = accelerator.prepare(network, optimiser)
    positive_weight = _positive_weights(sources, options).to(accelerator.device)

    per_epoch = [_epoch_batches(recipe, sources, epoch, accelerator.num_processes) for epoch in range(options.epochs)]
    total_steps = sum(len(batches) for batches in per_epoch) // accelerator.num_processes
    progress = _resume(run, accelerator, network, optimiser)
    step = sum(len(b) for b in per_epoch[: progress.epoch]) // accelerator.num_processes + progress.step_in_epoch
    saved = time.monotonic()

    for epoch in range(progress.epoch, options.epochs):
        if epoch - 1 - progress.best_epoch >= options.patience:  # here, so that a run that had stopped stays stopped
            accelerator.print(f"no better score in {options.patience} epochs: stopping")
            break
        model.train()
        mine = per_epoch[epoch][accelerator.process_index :: accelerator.num_processes]
        bar = tqdm(
            mine,
            f"epoch {epoch + 1}/{options.epochs}",
            initial=progress.step_in_epoch,
            disable=not accelerator.is_main_process,
            mininterval=5,
        )
        losses = []
        for indices in mine[progress.step_in_epoch :]:
            batch = {k: v.to(accelerator.device) for k, v in collate([sources[s][i] for s, i in indices], pad_id).items()}
            _schedule(optimiser, step, total_steps, options)
            with accelerator.autocast():
                logits = model(batch["input_ids"], batch["attention_mask"], batch["spans"])
            loss = batch_loss(logits, batch["targets"], batch["loss_weight"], positive_weight, taxonomy, options)
            if "teacher" in batch:
                loss = (1 - options.distillation) * loss + options.distillation * teacher_loss(logits, batch["teacher"], taxonomy, options)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), options.max_grad_norm)
            optimiser.step()
            optimiser.zero_grad()
            step += 1
            progress.step_in_epoch += 1
            losses.append(loss.detach())
            bar.update()
            if len(losses) % 20 == 0:
                bar.set_postfix(loss=f"{torch.stack(losses[-20:]).mean().item():.4f}")
            if time.monotonic() - saved > options.checkpoint_minutes * 60:
                _checkpoint(run, accelerator, network, optimiser, progress)
                saved = time.monotonic()
        bar.close()

        score = held_back_score(network, held_back, pad_id, taxonomy, accelerator, options.tokens_per_batch)
        entry = {"epoch": epoch, "loss": torch.stack(losses).mean().item() if losses else math.nan, **score}
        progress.history.append(entry)
        accelerator.print(json.dumps({k: round(v, 4) for k, v in entry.items()}))
        progress.epoch, progress.step_in_epoch = epoch + 1, 0
        if score["score"] > progress.best_score:
            progress.best_score, progress.best_epoch = score["score"], epoch
            if accelerator.is_main_process:
                save_file(_contiguous(network), run / BEST)
        _checkpoint(run, accelerator, network, optimiser, progress)
        saved = time.monotonic()

    accelerator.wait_for_everyone()
    network.load_state_dict(load_file(run / BEST))
    return progress


def batch_loss(
    logits: Tensor, targets: Tensor, weight: Tensor, positive_weight: Tensor, taxonomy: Taxonomy, options: Optimisation
) -> Tensor:
    """Masked loss of a batch: binary cross-entropy of each known label of texts and clauses, cross-entropy of the sentiment.

    `logits`, `targets` [B, S, L]; `weight` [B]; `positive_weight` [2, L], of texts and of clauses. Unknown labels cost nothing; the
    mean is over what is known.
    """
    sentiment = taxonomy.slices["sentiment"]
    binary = torch.ones(targets.shape[-1], dtype=torch.bool, device=targets.device)
    binary[sentiment] = False
    known = (targets != UNKNOWN) & binary
    goal = targets.clamp_min(0).to(logits.dtype)
    smooth = goal * (1 - 2 * options.label_smoothing) + options.label_smoothing
    balance = torch.cat([positive_weight[:1], positive_weight[1:].expand(logits.shape[1] - 1, -1)])  # the text, then its clauses
    each = F.binary_cross_entropy_with_logits(logits, smooth, pos_weight=balance, reduction="none") * known * weight[:, None, None]
    if options.negative_focus:
        each = each * torch.where(goal > 0, 1.0, torch.sigmoid(logits.detach()) ** options.negative_focus)
    text, clauses = each[:, 0].sum() / known[:, 0].sum().clamp_min(1), each[:, 1:].sum() / known[:, 1:].sum().clamp_min(1)

    loss = text + options.segment_weight * clauses
    if sentiment.start == sentiment.stop:  # labels of another kind, training/native.py
        return loss
    has_sentiment = (targets[:, 0, sentiment] == 1).any(-1)
    classes = targets[:, 0, sentiment].argmax(-1)
    ce = (
        F.cross_entropy(logits[:, 0, sentiment], classes, reduction="none", label_smoothing=options.label_smoothing)
        * has_sentiment
        * weight
    )
    return loss + 0.25 * ce.sum() / has_sentiment.sum().clamp_min(1)


def teacher_loss(logits: Tensor, teacher: Tensor, taxonomy: Taxonomy, options: Optimisation) -> Tensor:
    """How far `logits` [B, S, L] are from those of the teacher (nan in the padding), in the terms of `batch_loss`, and 0 at none."""
    sentiment = taxonomy.slices["sentiment"]
    told = ~torch.isnan(teacher[..., 0])
    goal = torch.sigmoid(teacher.nan_to_num())
    each = F.binary_cross_entropy_with_logits(logits, goal, reduction="none") - F.binary_cross_entropy(goal, goal, reduction="none")
    each[..., sentiment] = 0
    text, clauses = each[:, 0].mean(), each[:, 1:][told[:, 1:]].sum() / told[:, 1:].sum().clamp_min(1) / each.shape[-1]
    of_sentiment = F.kl_div(
        logits[:, 0, sentiment].log_softmax(-1), teacher[:, 0, sentiment].log_softmax(-1), log_target=True, reduction="batchmean"
    )
    return text + options.segment_weight * clauses + 0.25 * of_sentiment


def held_back_score(
    network: CxNetwork, held_back: list[Example], pad_id: int, taxonomy: Taxonomy, accelerator: Accelerator, tokens: int
) -> dict[str, float]:
    """Macro average precision of emotions and touchpoints and sentiment accuracy on windows; `score` is their mean, less those that
    the held-back texts cannot measure.
    """
    targets = np.stack([e.targets[0] for e in held_back])
    with accelerator.autocast():
        logits = text_logits(network, held_back, pad_id, tokens)
    sentiment = taxonomy.slices["sentiment"]
    told = (targets[:, sentiment] == 1).any(1)
    scores = {
        "emotions": macro_average_precision(logits[:, taxonomy.slices["emotions"]], targets[:, taxonomy.slices["emotions"]]),
        "touchpoints": macro_average_precision(logits[:, taxonomy.slices["touchpoints"]], targets[:, taxonomy.slices["touchpoints"]]),
        "sentiment": float((logits[told, sentiment].argmax(1) == targets[told, sentiment].argmax(1)).mean()) if told.any() else math.nan,
    }
    measured = {name: value for name, value in scores.items() if not math.isnan(value)}
    return {"score": sum(measured.values()) / max(1, len(measured)), **measured}


def describe_environment() -> dict[str, object]:
    """What a run was made with: versions, machine kind and threads. No host names, no paths."""
    wanted = {"torch", "transformers", "accelerate", "datasets", "tokenizers", "spacy", "numpy", "nlp-service"}
    versions = {d.name: d.version for d in distributions() if d.name in wanted}
    return {
        "python": platform.python_version(), "machine": platform.machine(), "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda, "gpus": torch.cuda.device_count(), "versions": versions,
    }  # fmt: skip


def _precision(options: Optimisation) -> str:
    """What `auto` means on this machine: bf16 is slower than fp32 on a processor that only emulates it."""
    if options.precision != "auto":
        return options.precision
    native = torch.cuda.is_bf16_supported() if torch.cuda.is_available() else "bf16" in _cpu_features()
    return "bf16" if native else "no"


def _cpu_features() -> str:
    """Names of the processor's instruction sets that multiply bf16, empty where there is none (or torch cannot tell)."""
    checks = {"amx_bf16": "_is_amx_tile_supported", "avx512_bf16": "_is_avx512_bf16_supported"}
    return " ".join(name for name, check in checks.items() if getattr(torch.cpu, check, bool)())


def _parameter_groups(network: CxNetwork, options: Optimisation) -> list[dict[str, object]]:
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            rate = options.head_learning_rate if name.startswith("heads.") else options.learning_rate
            decay = 0.0 if parameter.ndim < 2 else options.weight_decay
            groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": p, "lr": rate, "peak_lr": rate, "weight_decay": decay} for (rate, decay), p in groups.items()]


def _positive_weights(sources: Sequence[list[Example]], options: Optimisation) -> Tensor:
    """[2, L]: (negatives / positives) ** power of each label over the targets of all texts and of all clauses, at most 10."""
    clean = [e.targets for examples in sources for e in examples if not e.noised]
    ratios = []
    for targets in (np.stack([t[0] for t in clean]), np.concatenate([t[1:] for t in clean])):
        positives, negatives = (targets == 1).sum(0), (targets == 0).sum(0)
        ratios.append(np.clip((np.maximum(negatives, 1) / np.maximum(positives, 1)) ** options.positive_weight_power, 1, 10))
    return torch.from_numpy(np.stack(ratios).astype(np.float32))


def _epoch_batches(recipe: Recipe, sources: Sequence[list[Example]], epoch: int, processes: int) -> list[list[tuple[int, int]]]:
    """Batches of (source, row), the same for every process and on every resume. Rows of a source are gone through in turn."""
    rng = np.random.default_rng([recipe.seed, epoch])
    chosen: list[tuple[int, int]] = []
    for s, (source, rows) in enumerate(zip(recipe.sources, sources, strict=True)):
        clean = sum(not row.noised for row in rows)
        for i in _rows_of_epoch(source, clean, epoch, recipe.seed + s):
            # Noised copies stand behind the rows in the same order, so the same share of the way leads to the copy.
            noise = len(rows) > clean and rng.random() < source.noise
            chosen.append((s, clean + int(i) * (len(rows) - clean) // clean if noise else int(i)))
    lengths = [len(sources[s][i].window.input_ids) for s, i in chosen]
    # Length plus noise: batches hold texts of like length, yet their make-up changes from epoch to epoch.
    order = np.argsort(np.array(lengths) * rng.uniform(0.85, 1.15, len(lengths)))
    batches: list[list[tuple[int, int]]] = [[]]
    widest = 0
    for k in order:
        widest = max(widest, lengths[k])
        if batches[-1] and widest * (len(batches[-1]) + 1) > recipe.optimisation.tokens_per_batch:
            batches.append([])
            widest = lengths[k]
        batches[-1].append(chosen[k])
    rng.shuffle(batches)
    return batches[: len(batches) // processes * processes]


def _rows_of_epoch(source: Source, count: int, epoch: int, seed: int) -> NDArray[np.int64]:
    """All rows, or the epoch's share of an endless sequence of shuffles, so that every row comes before any comes twice."""
    wanted = source.rows_per_epoch
    if not wanted or not count:
        return np.arange(count)
    start = epoch * wanted
    rounds = range(start // count, (start + wanted - 1) // count + 1)
    sequence = np.concatenate([np.random.default_rng([seed, r]).permutation(count) for r in rounds])
    return sequence[start - rounds[0] * count :][:wanted]


def _schedule(optimiser: torch.optim.Optimizer, step: int, total: int, options: Optimisation) -> None:
    """Linear warm-up, then a straight line to zero."""
    warm = max(1, int(options.warmup * total))
    factor = (step + 1) / warm if step < warm else max(0.0, (total - step) / max(1, total - warm))
    for group in optimiser.param_groups:
        group["lr"] = group["peak_lr"] * factor


def _contiguous(network: CxNetwork) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}


def _checkpoint(run: Path, accelerator: Accelerator, network: CxNetwork, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    """Weights, optimiser and progress in one folder that replaces the old one in one step (safetensors and JSON, no pickle).

    Written by the main process when its own clock says so; the others need not know, they wait for it at the next gradients.
    """
    if not accelerator.is_main_process:
        return
    fresh, place = run / "checkpoint.new", run / "checkpoint"
    fresh.mkdir(exist_ok=True)
    save_file(_contiguous(network), fresh / "model.safetensors")
    state = optimiser.state_dict()["state"]
    save_file(
        {f"{i}.{k}": torch.as_tensor(v).cpu().contiguous() for i, s in state.items() for k, v in s.items()}, fresh / "optimiser.safetensors"
    )
    (fresh / "progress.json").write_text(json.dumps(asdict(progress)))
    old = run / "checkpoint.old"
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)  # left by a kill between the two steps below
        place.rename(old)
    fresh.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _resume(run: Path, accelerator: Accelerator, network: CxNetwork, optimiser: torch.optim.Optimizer) -> Progress:
    """Progress of the last checkpoint with its weights and optimiser loaded, or a fresh start."""
    place = next((p for p in (run / "checkpoint", run / "checkpoint.old") if (p / "progress.json").exists()), None)
    if place is None:
        return Progress()
    network.load_state_dict(load_file(place / "model.safetensors"))
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in load_file(place / "optimiser.safetensors").items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    progress = Progress(**json.loads((place / "progress.json").read_text()))
    accelerator.print(f"resuming at epoch {progress.epoch + 1}, step {progress.step_in_epoch}")
    return progress
