"""What a network says of examples, without learning: for scores, doubts about labels, and teaching."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlp_service.model.network import CxNetwork
from training.examples import Example, by_length, collate


def batch_logits(network: CxNetwork, examples: Sequence[Example], pad_id: int, tokens: int) -> Iterator[tuple[list[int], Tensor]]:
    """Indices into `examples` and their logits [B, S, L] (fp32, on the CPU), in batches of about `2 * tokens` padded tokens.

    The network is read where it lies, and left in evaluation mode.
    """
    network.eval()
    device = next(network.parameters()).device
    for indices in by_length(examples, np.arange(len(examples)), tokens):
        batch = collate([examples[i] for i in indices], pad_id)
        with torch.inference_mode():
            out = network(*(batch[name].to(device) for name in ("input_ids", "attention_mask", "spans")))
        yield indices, out.float().cpu()


def text_logits(network: CxNetwork, examples: Sequence[Example], pad_id: int, tokens: int) -> NDArray[np.float32]:
    """[N, L]: the logits of each example as a text."""
    out = np.zeros((len(examples), network.heads.value.out_features), np.float32)
    for indices, logits in batch_logits(network, examples, pad_id, tokens):
        out[indices] = logits[:, 0].numpy()
    return out


def text_probabilities(network: CxNetwork, examples: Sequence[Example], pad_id: int, tokens: int) -> NDArray[np.float64]:
    """[N, L]: the sigmoid of `text_logits`."""
    return np.asarray(1 / (1 + np.exp(-text_logits(network, examples, pad_id, tokens).astype(np.float64))))
