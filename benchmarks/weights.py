"""A bundle's encoder in the layout of `transformers`, with a classification head, so that peers run the same weights."""

import json
from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from nlp_service.model.bundle import Bundle
from nlp_service.model.encoding import CLS, SEP
from nlp_service.model.network import build_encoder


def write_peer_weights(bundle: Bundle, folder: Path) -> None:
    """Writes the encoder with one output a label. The head is random: what it says is not compared, what it costs is next to nothing."""
    shape = bundle.manifest.architecture
    torch.manual_seed(0)
    encoder = build_encoder(shape)
    labels = len(bundle.taxonomy.label_ids)
    kind, config = (
        (XLMRobertaForSequenceClassification, XLMRobertaConfig) if shape.position_offset else (BertForSequenceClassification, BertConfig)
    )
    model = kind(config(**{**encoder.config.to_dict(), "num_labels": labels, "problem_type": "multi_label_classification"}))
    state = {
        name.removeprefix("encoder."): torch.from_numpy(array).float()
        for name, array in bundle.weights.items()
        if name.startswith("encoder.") and name.rsplit(".", 1)[1] in ("weight", "bias")
    }
    body = model.roberta if shape.position_offset else model.bert
    missing, unexpected = body.load_state_dict(state, strict=False)
    if unexpected or any(not name.startswith("pooler.") for name in missing):
        raise ValueError(f"weights do not fit: {unexpected[:3]}, {missing[:3]}")
    model.save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bundle.tokenizer, cls_token=CLS, sep_token=SEP, bos_token=CLS, eos_token=SEP, pad_token="<pad>", unk_token="<unk>",
        model_max_length=shape.positions - shape.position_offset,
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"  # by the name that transformers 4 knows too, which some peers still need
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | {"tokenizer_class": "PreTrainedTokenizerFast"}), "utf-8")
