"""Distillation (Hinton et al. 2015): what a trained network says of each text and clause, as targets for a smaller one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from tqdm import tqdm

from nlp_service.model.network import CxNetwork
from training.examples import Example, by_length, collate


def with_teacher(examples: Sequence[Example], teacher: CxNetwork, pad_id: int, tokens: int) -> list[Example]:
    """`examples` with the logits of `teacher` [S, L] for the window and its clauses."""
    out = list(examples)
    teacher.eval()
    with torch.inference_mode():
        for indices in tqdm(list(by_length(examples, np.arange(len(examples)), tokens)), "teacher", mininterval=5):
            batch = collate([examples[i] for i in indices], pad_id)
            logits = teacher(batch["input_ids"], batch["attention_mask"], batch["spans"]).numpy().astype(np.float16)
            for row, i in enumerate(indices):
                out[i] = replace(examples[i], teacher=logits[row, : len(examples[i].targets)])
    return out
