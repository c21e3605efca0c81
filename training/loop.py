"""The training loop, from data to the best weights; reads from top to bottom. One process or several (accelerate), CPU or GPU."""

import json
import math
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors.torch import load_file
from torch import Tensor
from tqdm import tqdm

from nlp_service.core.taxonomy import Taxonomy
from nlp_service.model.network import CxNetwork
from training.batches import epoch_batches
from training.checkpoint import Progress, resume, save_checkpoint, save_weights
from training.examples import Example, collate
from training.losses import Objective, positive_weights
from training.reading import text_logits
from training.recipe import Optimisation, Recipe
from training.scores import macro_average_precision

BEST = "best.safetensors"


def train(
    recipe: Recipe,
    network: CxNetwork,
    pad_id: int,
    sources: Sequence[list[Example]],
    held_back: list[Example],
    taxonomy: Taxonomy,
    run: Path,
    teacher: CxNetwork | None = None,
) -> Progress:
    """Trains `network` in place and leaves the weights of the best epoch in it and in `run/best.safetensors`.

    `sources` holds the examples of each source of the recipe, in its order; `held_back` decides the best epoch and when to stop.
    A run that was killed goes on from `run/checkpoint/` with the same batches it would have seen.
    """
    options = recipe.optimisation
    accelerator = Accelerator(mixed_precision=_precision(options))
    set_seed(recipe.seed)
    torch.set_flush_denormal(True)  # vanishing activations and gradients would slow a CPU many times over
    _freeze_and_drop(network, options)
    optimiser = torch.optim.AdamW(_parameter_groups(network, options), fused=True)
    objective = Objective(network, taxonomy, options, positive_weights(sources, options), teacher)
    objective, optimiser = accelerator.prepare(objective, optimiser)
    processes = accelerator.num_processes
    per_epoch = [epoch_batches(recipe, sources, epoch, processes) for epoch in range(options.epochs)]
    total_steps = sum(len(batches) for batches in per_epoch) // processes
    progress = resume(run, accelerator, network, optimiser)

    def save() -> None:
        save_checkpoint(run, accelerator, network, optimiser, progress)

    def step(indices: list[tuple[int, int]], number: int) -> Tensor:
        batch = {k: v.to(accelerator.device) for k, v in collate([sources[s][i] for s, i in indices], pad_id).items()}
        _schedule(optimiser, number, total_steps, options)
        loss: Tensor = objective(batch)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(objective.parameters(), options.max_grad_norm)
        optimiser.step()
        optimiser.zero_grad()
        return loss.detach()

    for epoch in range(progress.epoch, options.epochs):
        if epoch - 1 - progress.best_epoch >= options.patience:  # here, so that a run that had stopped stays stopped
            accelerator.print(f"no better score in {options.patience} epochs: stopping")
            break
        network.train()
        mine = per_epoch[epoch][accelerator.process_index :: processes]
        before = sum(len(batches) for batches in per_epoch[:epoch]) // processes
        loss = _one_epoch(f"epoch {epoch + 1}/{options.epochs}", mine, before, step, save, progress, accelerator, options)
        score = held_back_score(network, held_back, pad_id, taxonomy, accelerator, options.tokens_per_batch)
        entry = {"epoch": epoch, "loss": loss, **score}
        progress.history.append(entry)
        accelerator.print(json.dumps({k: round(v, 4) for k, v in entry.items()}))
        progress.epoch, progress.step_in_epoch = epoch + 1, 0
        if score["score"] > progress.best_score:
            progress.best_score, progress.best_epoch = score["score"], epoch
            if accelerator.is_main_process:
                save_weights(network, run / BEST)
        save()

    accelerator.wait_for_everyone()
    network.load_state_dict(load_file(run / BEST))
    return progress


def _one_epoch(
    name: str,
    batches: Sequence[list[tuple[int, int]]],
    before: int,
    step: Callable[[list[tuple[int, int]], int], Tensor],
    save: Callable[[], None],
    progress: Progress,
    accelerator: Accelerator,
    options: Optimisation,
) -> float:
    """Takes a step on each batch that is left of the epoch, and saves now and then; the mean loss. `before`: steps of earlier epochs."""
    losses: list[Tensor] = []
    saved = time.monotonic()
    with tqdm(batches, name, initial=progress.step_in_epoch, disable=not accelerator.is_main_process, mininterval=5) as bar:
        for indices in batches[progress.step_in_epoch :]:
            losses.append(step(indices, before + progress.step_in_epoch))
            progress.step_in_epoch += 1
            bar.update()
            if len(losses) % 20 == 0:
                bar.set_postfix(loss=f"{torch.stack(losses[-20:]).mean().item():.4f}")
            if time.monotonic() - saved > options.checkpoint_minutes * 60:
                save()
                saved = time.monotonic()
    return torch.stack(losses).mean().item() if losses else math.nan


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


def _freeze_and_drop(network: CxNetwork, options: Optimisation) -> None:
    if options.freeze_word_embeddings:
        network.encoder.get_input_embeddings().weight.requires_grad_(False)
    for name, module in network.encoder.named_modules():
        if isinstance(module, torch.nn.Dropout) and not name.endswith("attention.self.dropout"):
            module.p = options.dropout


def _parameter_groups(network: CxNetwork, options: Optimisation) -> list[dict[str, object]]:
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            rate = options.head_learning_rate if name.startswith("heads.") else options.learning_rate
            decay = 0.0 if parameter.ndim < 2 else options.weight_decay
            groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": p, "lr": rate, "peak_lr": rate, "weight_decay": decay} for (rate, decay), p in groups.items()]


def _schedule(optimiser: torch.optim.Optimizer, step: int, total: int, options: Optimisation) -> None:
    """Linear warm-up, then a straight line to zero."""
    warm = max(1, int(options.warmup * total))
    factor = (step + 1) / warm if step < warm else max(0.0, (total - step) / max(1, total - warm))
    for group in optimiser.param_groups:
        group["lr"] = group["peak_lr"] * factor
