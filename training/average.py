"""Several runs of one recipe, averaged into one set of weights (Wortsman et al. 2022, model soups)."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file

from nlp_service.core.errors import InputError
from training.loop import BEST
from training.run import BASE, ENVIRONMENT, METRICS, RECIPE


def average(runs: Sequence[Path], out: Path) -> None:
    """Writes a run folder whose weights are the mean of those of `runs`; a bundle can be made of it.

    Meaningful for runs that start from the same weights and differ in seed or data order, and for steps of one chain. A run that is
    named twice weighs twice; the first one gives its recipe. Raises InputError where their networks are not of one shape.
    """
    if len(runs) < 2:
        raise InputError("average: give two runs or more")
    total = load_file(runs[0] / BEST)
    for run in runs[1:]:
        weights = load_file(run / BEST)
        if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in total.items()}:
            raise InputError(f"{run}: its network has another shape than that of {runs[0]}")
        for name in total:
            total[name] += weights[name]
    out.mkdir(parents=True, exist_ok=True)
    save_file({name: (tensor / len(runs)).contiguous() for name, tensor in total.items()}, out / BEST)
    shutil.copytree(runs[0] / BASE, out / BASE, dirs_exist_ok=True)
    for name in (RECIPE, ENVIRONMENT):
        shutil.copy(runs[0] / name, out / name)
    metrics = json.loads((runs[0] / METRICS).read_text("utf-8"))
    (out / METRICS).write_text(json.dumps({**metrics, "averaged": [run.name for run in runs]}, indent=1), "utf-8")
