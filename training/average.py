"""Several runs of one recipe, averaged into one set of weights (Wortsman et al. 2022, model soups)."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from nlp_service.core.errors import InputError
from nlp_service.model.bundle import is_range
from training.loop import BEST
from training.run import BASE, ENVIRONMENT, METRICS, RECIPE


def average(runs: Sequence[Path], out: Path) -> None:
    """Writes a run folder whose weights are the mean of those of `runs`; a bundle can be made of it.

    Meaningful for runs that start from the same weights and differ in seed or data order, and for steps of one chain. A run that is
    named twice weighs twice; the first one gives its recipe. Where only some were trained with rounding, the ranges of their inputs are
    kept. Raises InputError where their networks are not of one shape.
    """
    if len(runs) < 2:
        raise InputError("average: give two runs or more")
    total: dict[str, list[Tensor]] = {}
    shapes = []
    for run in runs:
        weights = load_file(run / BEST)
        shapes.append({name: tensor.shape for name, tensor in weights.items() if not is_range(name)})
        if shapes[-1] != shapes[0]:
            raise InputError(f"{run}: its network has another shape than that of {runs[0]}")
        for name, tensor in weights.items():
            total.setdefault(name, []).append(tensor)
    out.mkdir(parents=True, exist_ok=True)
    save_file({name: torch.stack(tensors).mean(0) for name, tensors in total.items()}, out / BEST)
    shutil.copytree(runs[0] / BASE, out / BASE, dirs_exist_ok=True)
    for name in (RECIPE, ENVIRONMENT):
        shutil.copy(runs[0] / name, out / name)
    metrics = json.loads((runs[0] / METRICS).read_text("utf-8"))
    (out / METRICS).write_text(json.dumps({**metrics, "averaged": [run.name for run in runs]}, indent=1), "utf-8")
