"""Confident learning (Northcutt et al. 2021): labels of a noisy source that a trained network contradicts confidently become unknown."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from nlp_service.core.taxonomy import MULTI_LABEL_HEADS, Taxonomy
from nlp_service.model.network import CxNetwork
from training.examples import UNKNOWN, Example, by_length, collate

_LEAST = 20  # labels with fewer positives tell no threshold


def text_probabilities(network: CxNetwork, examples: Sequence[Example], pad_id: int, tokens: int) -> NDArray[np.float64]:
    """[N, L] sigmoid of the network's logits on each example as a text."""
    out = np.zeros((len(examples), examples[0].targets.shape[1]), np.float64)
    network.eval()
    with torch.inference_mode():
        for indices in by_length(examples, np.arange(len(examples)), tokens):
            batch = collate([examples[i] for i in indices], pad_id)
            out[indices] = network(batch["input_ids"], batch["attention_mask"], batch["spans"])[:, 0].sigmoid().double().numpy()
    return out


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
