"""A training run on two processes of one machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from test_loop import recipe, run_training

from training.checkpoint import Progress
from training.loop import BEST

SCRIPT = """
import sys
from pathlib import Path
import torch
from accelerate import PartialState
from test_loop import recipe, run_training
torch.set_num_threads(1)
print(run_training(recipe(epochs=2), Path(sys.argv[1]))[1].best_score, PartialState().num_processes)
"""


def test_two_processes_share_the_work_and_agree(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    run = tmp_path / "run"
    run.mkdir()
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(tmp_path / "script.py"), str(run)]
    # torchrun, for `accelerate launch` starts several processes without GPUs by MPI only.
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(launch, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    scores = [line for line in done.stdout.splitlines() if line.startswith("0.")]
    assert len(scores) == 2
    assert scores[0].endswith(" 2")
    assert scores[0] == scores[1]  # both leave with the same best weights
    progress = Progress(**json.loads((run / "checkpoint" / "progress.json").read_text()))
    assert progress.epoch == 2
    assert progress.best_score > 0.5
    # Another order of batches than one process has, but a run that goes on with one has nothing left to do.
    model, resumed = run_training(recipe(epochs=2), run)
    assert resumed.history == progress.history
    torch.testing.assert_close(load_file(run / BEST)["heads.value.weight"], model.state_dict()["heads.value.weight"])
