"""What a run that was killed goes on from: weights, optimiser and progress (safetensors and JSON, no pickle)."""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor

from nlp_service.model.network import CxNetwork


@dataclass
class Progress:
    """Where a run stands; kept beside the weights of a checkpoint."""

    epoch: int = 0
    step_in_epoch: int = 0
    best_score: float = -1.0
    best_epoch: int = -1
    history: list[dict[str, float]] = field(default_factory=list)


def save_weights(network: CxNetwork, path: Path) -> None:
    """The weights of `network` as safetensors."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}, path)


def save_checkpoint(run: Path, accelerator: Accelerator, network: CxNetwork, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    """One folder that replaces the old one in one step.

    Written by the main process when its own clock says so; the others need not know, they wait for it at the next gradients.
    """
    if not accelerator.is_main_process:
        return
    fresh, place = run / "checkpoint.new", run / "checkpoint"
    fresh.mkdir(exist_ok=True)
    save_weights(network, fresh / "model.safetensors")
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


def resume(run: Path, accelerator: Accelerator, network: CxNetwork, optimiser: torch.optim.Optimizer) -> Progress:
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
