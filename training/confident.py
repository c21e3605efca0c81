"""Confident learning (Northcutt et al. 2021): labels of a noisy source that a trained network contradicts confidently become unknown."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nlp_service.core.taxonomy import MULTI_LABEL_HEADS, Taxonomy
from training.examples import UNKNOWN, Example

_LEAST = 20  # labels with fewer positives tell no threshold


def without_doubtful(examples: Sequence[Example], p: NDArray[np.float64], taxonomy: Taxonomy) -> tuple[list[Example], int]:
    """`examples` with their doubtful labels unknown (in the text and in its clauses), and how many those were.

    `p` [N, L]. A label is doubtful where the network gives its opposite at least the mean probability that it gives the opposite
    where that is what the source says.
    """
    targets = np.stack([e.targets[0] for e in examples])
    doubtful = np.zeros(targets.shape, bool)
    for head in MULTI_LABEL_HEADS:
        for i in range(*taxonomy.slices[head].indices(targets.shape[1])):
            yes, no = targets[:, i] == 1, targets[:, i] == 0
            if yes.sum() < _LEAST or no.sum() < _LEAST:
                continue
            doubtful[:, i] = (no & (p[:, i] >= p[yes, i].mean())) | (yes & (1 - p[:, i] >= (1 - p[no, i]).mean()))
    kept = [
        replace(e, targets=np.where(row[None, :], UNKNOWN, e.targets).astype(np.int8)) if row.any() else e
        for e, row in zip(examples, doubtful, strict=True)
    ]
    return kept, int(doubtful.sum())
