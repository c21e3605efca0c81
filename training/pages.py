"""HTML pages of training/templates/: one file each, no scripts, nothing fetched."""

from importlib.resources import files
from typing import Any

import jinja2

_ENVIRONMENT = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
_ENVIRONMENT.filters["figure"] = lambda value: "–" if value is None else f"{value:.3f}"
_ENVIRONMENT.filters["interval"] = lambda bounds: f"{bounds[0]:.2f}–{bounds[1]:.2f}" if bounds else ""


def render(template: str, **values: Any) -> str:
    """The template of that name filled with `values`; a value that it names and does not get is an error."""
    source = files("training").joinpath(f"templates/{template}.html").read_text("utf-8")
    return _ENVIRONMENT.from_string(source).render(**values)
