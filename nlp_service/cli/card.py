"""What the `model` command tells of a model: from its manifest alone, without loading weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlp_service.core.decisions import Bands
from nlp_service.core.schema import ModelInfo
from nlp_service.model.bundle import read_manifest
from nlp_service.model.fake import FAKE, FakeModel


def card(model: str) -> dict[str, Any]:
    """Name, version, taxonomy, languages, thresholds with what they measured, and a summary of the metrics, as JSON values.

    `model` is a bundle folder or `fake`. Raises BundleError.
    """
    if model == FAKE:
        fake = FakeModel()
        return _card(fake.info, fake.taxonomy.languages, fake.thresholds, {})
    manifest = read_manifest(Path(model))
    return _card(manifest.info, manifest.taxonomy.languages, manifest.thresholds, manifest.metrics)


def _card(info: ModelInfo, languages: tuple[str, ...], thresholds: Mapping[str, Bands], metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **info.model_dump(),
        "languages": list(languages),
        "thresholds": {label: bands.model_dump() for label, bands in thresholds.items()},
        "metrics": {group: _figures(figures) for group, figures in metrics.items() if isinstance(figures, dict)},
    }


def _figures(group: Mapping[str, Any]) -> dict[str, float]:
    """The headline figures of one group of texts: plain numbers, and of each head those that are not per label."""
    out: dict[str, float] = {}
    for name, value in group.items():
        if isinstance(value, dict):
            out |= {f"{name} {key}": number for key, number in value.items() if isinstance(number, int | float) and key in _HEADLINES}
        elif isinstance(value, int | float):
            out[name] = value
    return out


_HEADLINES = ("macro_f1", "accuracy", "f1")
