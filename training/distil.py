"""Distillation (Hinton et al. 2015): what a trained network says of each text and clause, as targets for a smaller one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from nlp_service.model.network import CxNetwork
from training.examples import Example
from training.reading import batch_logits


def with_teacher(examples: Sequence[Example], teacher: CxNetwork, pad_id: int, tokens: int) -> list[Example]:
    """`examples` with the logits of `teacher` [S, L] for the window and its clauses."""
    out = list(examples)
    with tqdm(total=len(out), desc="teacher", mininterval=5) as bar:
        for indices, logits in batch_logits(teacher, examples, pad_id, tokens):
            for row, i in enumerate(indices):
                out[i] = replace(examples[i], teacher=logits[row, : len(examples[i].targets)].numpy().astype(np.float16))
            bar.update(len(indices))
    return out
