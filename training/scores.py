"""Measures of multi-label predictions, masked where a label is unknown."""

import numpy as np
from numpy.typing import NDArray


def average_precision(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """Area under the precision-recall curve as a step function; nan without positives."""
    if not truth.any():
        return float("nan")
    hits = truth[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def macro_average_precision(scores: NDArray[np.floating], targets: NDArray[np.int8]) -> float:
    """Mean over the labels that have a positive; `targets` [N, L] holds 1, 0 or -1 (unknown: left out)."""
    each = [
        average_precision(scores[known, i], targets[known, i] == 1)
        for i in range(targets.shape[1])
        if (targets[known := targets[:, i] >= 0, i] == 1).any()
    ]
    return float(np.mean(each)) if each else float("nan")
