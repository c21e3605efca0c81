"""What each part of a recipe buys: the same recipe with a few values changed, trained, bundled and measured, side by side."""

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from training.data import Folders
from training.export import make_bundle
from training.recipe import load_recipe, load_strict
from training.run import refuse_other, start

_REPORT = "report.json"


class Study(BaseModel):
    """`base`: a recipe, beside the study's file. `common`: values changed in every variant. `variants`: name -> values changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    common: dict[str, Any] = {}
    variants: dict[str, dict[str, Any]] = Field(min_length=1)


def ablate(path: Path, runs: Path, folders: Folders, overrides: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Trains and measures every variant that `runs` does not hold yet: name -> figures on the development split."""
    study = load_strict(path, Study)
    reports = {}
    for name, changed in study.variants.items():
        run = runs / "".join(c if c.isalnum() else "-" for c in name)
        values = {key: yaml.safe_dump(value) for key, value in {**study.common, **changed}.items()}
        recipe = load_recipe(path.parent / study.base, {**values, **overrides})
        refuse_other(recipe, run)
        if not (run / _REPORT).exists():
            start(recipe, folders, run)
            (run / _REPORT).write_text(json.dumps(make_bundle(run, run / "bundle", folders)), "utf-8")
        reports[name] = json.loads((run / _REPORT).read_text("utf-8"))
    return reports
