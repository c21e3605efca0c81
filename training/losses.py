"""What training makes small: the distance to the labels and, where there is a teacher, to its answers and its states."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nlp_service.core.taxonomy import Taxonomy
from nlp_service.model.network import CxNetwork
from training.examples import UNKNOWN, Example
from training.recipe import Optimisation


class Objective(nn.Module):
    """The loss of a batch, as a module that holds the network: so that several processes share its gradients."""

    positive_weight: Tensor

    def __init__(
        self, network: CxNetwork, taxonomy: Taxonomy, options: Optimisation, positive_weight: Tensor, teacher: CxNetwork | None = None
    ) -> None:
        """`positive_weight` [2, L]: of texts and of clauses. The teacher is not trained."""
        super().__init__()
        self.network, self.taxonomy, self.options = network, taxonomy, options
        self.teacher = teacher.requires_grad_(False) if teacher else None
        self.register_buffer("positive_weight", positive_weight)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """`batch` as `training.examples.collate` gives it -> the loss, a scalar."""
        inputs = batch["input_ids"], batch["attention_mask"], batch["spans"]
        logits, states = self.network.read(*inputs)
        # Networks may be read in half precision; losses are not (on GPUs the entropies would even refuse it).
        with torch.autocast(logits.device.type, enabled=False):
            loss = batch_loss(logits, batch["targets"], batch["loss_weight"], self.positive_weight, self.taxonomy, self.options)
        return self._taught(loss, logits, states, batch) if self.teacher else loss

    def _taught(self, loss: Tensor, logits: Tensor, states: Sequence[Tensor], batch: dict[str, Tensor]) -> Tensor:
        """`loss` with the teacher's share."""
        assert self.teacher
        with torch.no_grad():
            its_logits, its_states = self.teacher.read(batch["input_ids"], batch["attention_mask"], batch["spans"])
        share = self.options.distillation
        with torch.autocast(logits.device.type, enabled=False):
            answers = teacher_loss(logits, its_logits, batch["spans"].any(-1), self.taxonomy, self.options)
            loss = (1 - share) * loss + share * answers
            if self.options.state_distillation:
                loss = loss + self.options.state_distillation * state_loss(states, its_states, batch["attention_mask"])
        return loss


def batch_loss(
    logits: Tensor, targets: Tensor, weight: Tensor, positive_weight: Tensor, taxonomy: Taxonomy, options: Optimisation
) -> Tensor:
    """Masked loss of a batch: binary cross-entropy of each known label of texts and clauses, cross-entropy of the sentiment.

    `logits`, `targets` [B, S, L]; `weight` [B]; `positive_weight` [2, L], of texts and of clauses. Unknown labels cost nothing; the
    mean is over what is known.
    """
    sentiment = taxonomy.slices["sentiment"]
    binary = torch.ones(targets.shape[-1], dtype=torch.bool, device=targets.device)
    binary[sentiment] = False
    known = (targets != UNKNOWN) & binary
    goal = targets.clamp_min(0).to(logits.dtype)
    smooth = goal * (1 - 2 * options.label_smoothing) + options.label_smoothing
    balance = torch.cat([positive_weight[:1], positive_weight[1:].expand(logits.shape[1] - 1, -1)])  # the text, then its clauses
    each = F.binary_cross_entropy_with_logits(logits, smooth, pos_weight=balance, reduction="none") * known * weight[:, None, None]
    if options.negative_focus:
        each = each * torch.where(goal > 0, 1.0, torch.sigmoid(logits.detach()) ** options.negative_focus)
    text, clauses = each[:, 0].sum() / known[:, 0].sum().clamp_min(1), each[:, 1:].sum() / known[:, 1:].sum().clamp_min(1)

    loss = text + options.segment_weight * clauses
    if sentiment.start == sentiment.stop:  # labels of another kind, training/native.py
        return loss
    has_sentiment = (targets[:, 0, sentiment] == 1).any(-1)
    classes = targets[:, 0, sentiment].argmax(-1)
    ce = (
        F.cross_entropy(logits[:, 0, sentiment], classes, reduction="none", label_smoothing=options.label_smoothing)
        * has_sentiment
        * weight
    )
    return loss + 0.25 * ce.sum() / has_sentiment.sum().clamp_min(1)


def teacher_loss(logits: Tensor, teacher: Tensor, there: Tensor, taxonomy: Taxonomy, options: Optimisation) -> Tensor:
    """How far `logits` [B, S, L] are from those of a teacher (Hinton et al. 2015), in the terms of `batch_loss`, and 0 at none.

    `there` [B, S]: False for the clauses that a text of the batch does not have.
    """
    sentiment = taxonomy.slices["sentiment"]
    goal = torch.sigmoid(teacher)
    each = F.binary_cross_entropy_with_logits(logits, goal, reduction="none") - F.binary_cross_entropy(goal, goal, reduction="none")
    each[..., sentiment] = 0
    text = each[:, 0].mean()
    clauses = (each[:, 1:].mean(-1) * there[:, 1:]).sum() / there[:, 1:].sum().clamp_min(1)
    of_sentiment = F.kl_div(
        logits[:, 0, sentiment].log_softmax(-1), teacher[:, 0, sentiment].log_softmax(-1), log_target=True, reduction="batchmean"
    )
    return text + options.segment_weight * clauses + 0.25 * of_sentiment


def state_loss(states: Sequence[Tensor], teacher: Sequence[Tensor], attention_mask: Tensor) -> Tensor:
    """Squared distance of each layer's states from those of the teacher's layer at the same share of its depth (Jiao et al. 2020,
    TinyBERT), as a share of the latter's square, so that every layer counts the same.

    `states`, `teacher`: [B, T, H] of the embeddings and of each layer; `attention_mask` [B, T]. The embeddings are not compared.
    """
    layers, its_layers = len(states) - 1, len(teacher) - 1
    mask = attention_mask[..., None]
    distances = []
    for i in range(1, layers + 1):
        goal = teacher[round(i * its_layers / layers)].float() * mask
        distances.append(((states[i].float() * mask - goal) ** 2).sum() / (goal**2).sum())
    return torch.stack(distances).mean()


def positive_weights(sources: Sequence[list[Example]], options: Optimisation) -> Tensor:
    """[2, L]: (negatives / positives) ** power of each label over the targets of all texts and of all clauses, at most 10."""
    clean = [e.targets for examples in sources for e in examples if not e.noised]
    ratios = []
    for targets in (np.stack([t[0] for t in clean]), np.concatenate([t[1:] for t in clean])):
        positives, negatives = (targets == 1).sum(0), (targets == 0).sum(0)
        ratios.append(np.clip((np.maximum(negatives, 1) / np.maximum(positives, 1)) ** options.positive_weight_power, 1, 10))
    return torch.from_numpy(np.stack(ratios).astype(np.float32))
