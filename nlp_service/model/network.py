"""The network in torch: one encoder, and one head per label that pools tokens by attention. Used to train and by the GPU runtime."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, PreTrainedModel, XLMRobertaConfig, XLMRobertaModel

from nlp_service.model.bundle import Architecture

SOFT_CAP = 5.0
"""Attention scores are squashed into (-SOFT_CAP, SOFT_CAP), so that exp() needs no shift by a maximum: a segment then pools the
same whatever else is in its window."""


class SpanHeads(nn.Module):
    """Label-wise attention pooling (Mullenbach et al. 2018, CAML) over any set of token spans.

    Each label weighs the tokens of a span by its own query and sums its own token evidence: `logit = sum_t a_t v_t + b` with
    `a = softmax_t(cap(q.h_t))` and `v_t = w.h_t`. So the same head reads the text and each clause in one pass, and the queries,
    zero at the start, begin as mean pooling.
    """

    def __init__(self, hidden_size: int, labels: int, soft_cap: float = SOFT_CAP) -> None:
        super().__init__()
        self.soft_cap = soft_cap
        self.query = nn.Linear(hidden_size, labels, bias=False)
        self.value = nn.Linear(hidden_size, labels)
        nn.init.zeros_(self.query.weight)
        nn.init.normal_(self.value.weight, std=0.02)
        nn.init.zeros_(self.value.bias)

    def forward(self, states: Tensor, spans: Tensor) -> Tensor:
        """`states` [B, T, H], `spans` [B, S, T] of 0 and 1 (a padded span may be empty) -> logits [B, S, L], fp32."""
        with torch.autocast(states.device.type, enabled=False):
            states, spans = states.float(), spans.float()
            weight = torch.exp(self.soft_cap * torch.tanh(self.query(states) / self.soft_cap))
            evidence = weight * nn.functional.linear(states, self.value.weight)
            return (spans @ evidence) / (spans @ weight).clamp_min(1e-6) + self.value.bias


class CxNetwork(nn.Module):
    """An encoder of `transformers` (BERT or XLM-RoBERTa kind) with `SpanHeads`."""

    encoder: PreTrainedModel

    def __init__(self, encoder: PreTrainedModel, labels: int, soft_cap: float = SOFT_CAP) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = SpanHeads(encoder.config.hidden_size, labels, soft_cap)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, spans: Tensor) -> Tensor:
        """`input_ids`, `attention_mask` [B, T], `spans` [B, S, T] -> logits [B, S, L]."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        logits: Tensor = self.heads(states, spans)
        return logits

    def read(self, input_ids: Tensor, attention_mask: Tensor, spans: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What `forward` gives, and the states [B, T, H] of the embeddings and of each layer."""
        out = self.encoder(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
        logits: Tensor = self.heads(out.last_hidden_state, spans)
        return logits, out.hidden_states


def build_encoder(shape: Architecture) -> PreTrainedModel:
    """An encoder of the given sizes with untrained weights; dropout off, for its random numbers cost more than they bring here."""
    shared: dict[str, Any] = {
        "vocab_size": shape.vocab_size, "hidden_size": shape.hidden_size, "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads, "intermediate_size": shape.intermediate_size, "max_position_embeddings": shape.positions,
        "type_vocab_size": shape.token_types, "layer_norm_eps": shape.layer_norm_eps, "pad_token_id": shape.pad_token_id,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "attn_implementation": "sdpa",
    }  # fmt: skip
    if shape.position_offset:
        return XLMRobertaModel(XLMRobertaConfig(**shared), add_pooling_layer=False)
    return BertModel(BertConfig(**shared), add_pooling_layer=False)
