"""From labelled records to what the loop eats: encoded windows with a target for the text and for each clause."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlp_service.core.segments import Offsets
from nlp_service.core.taxonomy import MULTI_LABEL_HEADS, Taxonomy
from nlp_service.model.encoding import EncodedWindow
from nlp_service.preparation import Preparation
from training.records import Record

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Example:
    """One window. `targets` [S, L] holds 1, 0 or UNKNOWN: row 0 for the window as a text, the others for its clauses.

    `noised`: a copy of another example, to be read in its stead now and then.
    """

    window: EncodedWindow
    targets: NDArray[np.int8]
    source: int
    loss_weight: float
    noised: bool = False


def examples(
    records: Iterable[Record], preparation: Preparation, taxonomy: Taxonomy, source: int, loss_weight: float, noised: bool = False
) -> Iterator[Example]:
    """Examples of each record, by the preparation that serving uses. Texts with nothing to read give none."""
    for record in records:
        # The language is known here; a wrong guess would throw a labelled text away.
        prepared = preparation(record.text, "en" if record.lang == "en" else "es")
        if not prepared.windows:
            continue
        text = text_targets(record, taxonomy)
        clauses = segment_targets(record, prepared.segments, taxonomy)
        for window in prepared.windows:
            own = clauses[window.segments]
            first = text if len(prepared.windows) == 1 else _window_targets(text, own, taxonomy)
            yield Example(window, np.vstack([first, own]), source, loss_weight, noised)


def text_targets(record: Record, taxonomy: Taxonomy) -> NDArray[np.int8]:
    """[L] of 1, 0 or UNKNOWN."""
    return np.array([_target(label, record) for label in taxonomy.label_ids], np.int8)


def _target(label: str, record: Record) -> int:
    return int(label in record.positives) if label in record.known else UNKNOWN


def segment_targets(record: Record, segments: Sequence[Offsets], taxonomy: Taxonomy) -> NDArray[np.int8]:
    """[S, L]: what the text lacks no clause has; what it has is in the clauses that a labelled span touches.

    Other clauses lack it too where the spans are exhaustive for the head, else it is unknown. Sentiment belongs to texts only.
    """
    text = text_targets(record, taxonomy)
    out = np.tile(np.where(text == 1, UNKNOWN, text), (len(segments), 1)).astype(np.int8)
    out[:, taxonomy.slices["sentiment"]] = UNKNOWN
    for head in MULTI_LABEL_HEADS:
        columns = np.arange(len(text))[taxonomy.slices[head]]
        positive = columns[text[columns] == 1]
        if len(segments) == 1:
            out[0, positive] = 1
        elif head in record.exhaustive:
            out[:, positive] = 0
    if len(segments) > 1:
        for span in record.spans:
            touched = [i for i, (start, end) in enumerate(segments) if start < span.end and span.start < end]
            out[np.ix_(touched, [taxonomy.index[label] for label in span.labels])] = 1
    return out


def _window_targets(text: NDArray[np.int8], clauses: NDArray[np.int8], taxonomy: Taxonomy) -> NDArray[np.int8]:
    """A window that is only part of its text has what its clauses have, and lacks what the text lacks."""
    out = np.where(text == 1, np.where((clauses == 1).any(axis=0), 1, UNKNOWN), text).astype(np.int8)
    out[taxonomy.slices["sentiment"]] = UNKNOWN
    return out


def collate(batch: Sequence[Example], pad_id: int) -> dict[str, Tensor]:
    """Padded tensors: `input_ids`, `attention_mask` [B, T], `spans` [B, S, T], `targets` [B, S, L], `loss_weight` [B]."""
    tokens = max(len(e.window.input_ids) for e in batch)
    rows = max(len(e.window.spans) for e in batch)
    labels = batch[0].targets.shape[1]
    ids = np.full((len(batch), tokens), pad_id, np.int64)
    mask = np.zeros((len(batch), tokens), np.int64)
    spans = np.zeros((len(batch), rows, tokens), np.float32)
    targets = np.full((len(batch), rows, labels), UNKNOWN, np.int8)
    for i, example in enumerate(batch):
        n = len(example.window.input_ids)
        ids[i, :n], mask[i, :n] = example.window.input_ids, 1
        targets[i, : len(example.targets)] = example.targets
        for j, (start, end) in enumerate(example.window.spans):
            spans[i, j, start:end] = 1
    arrays = {
        "input_ids": ids, "attention_mask": mask, "spans": spans, "targets": targets,
        "loss_weight": np.array([e.loss_weight for e in batch], np.float32),
    }  # fmt: skip
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def by_length(rows: Sequence[Example], indices: NDArray[np.int64], tokens: int) -> Iterator[list[int]]:
    """`indices` in batches of texts of like length, about `2 * tokens` padded tokens each: for reading, not for training."""
    chunk: list[int] = []
    for i in sorted(indices.tolist(), key=lambda i: len(rows[i].window.input_ids)):
        if chunk and len(rows[i].window.input_ids) * (len(chunk) + 1) > 2 * tokens:
            yield chunk
            chunk = []
        chunk.append(i)
    if chunk:
        yield chunk
