"""What every runtime is: encoded windows in, logits out, whatever the batch they ride in."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from nlp_service.model.encoding import EncodedWindow

Logits = NDArray[np.float32]
Precision = Literal["auto", "fp32", "int8"]


class Runtime(Protocol):
    """Turns windows into logits."""

    @property
    def description(self) -> str:
        """Engine, device and precision, for people."""

    def infer(self, windows: Sequence[EncodedWindow]) -> list[Logits]:
        """Logits [spans, labels] of each window, in the order given. Safe to call from several threads."""


def infer_each(runtime: Runtime, windows: Sequence[EncodedWindow]) -> list[Logits | Exception]:
    """What `runtime` makes of each window: its logits, or the error that it alone raises, so that no window fails for another's sake."""
    try:
        return list(runtime.infer(windows))
    except Exception as error:
        if len(windows) == 1:
            return [error]
        return [outcome for window in windows for outcome in infer_each(runtime, [window])]


def padded_length(window: EncodedWindow) -> int:
    """Tokens that a window takes up in a batch of its like."""
    return _round_up(len(window.input_ids), _TOKEN_STEP)


# Shapes are rounded up so that an engine that prepares its kernels for each shape meets few of them.
_TOKEN_STEP, _SPAN_STEP = 8, 4


def batches(windows: Sequence[EncodedWindow], token_budget: int) -> Iterator[list[int]]:
    """Indices of windows of one padded length, the longest first; each batch at most `token_budget` padded tokens (one window at least).

    Of one length, because padding changes the order in which attention adds, and with it the last digits, of which the rounding of int8
    makes much: so a window's answer is the same to the last digit in any company.
    """
    order = sorted(range(len(windows)), key=lambda i: -len(windows[i].input_ids))
    for length, equals in groupby(order, lambda i: padded_length(windows[i])):
        same, most = list(equals), max(1, token_budget // length)
        yield from (same[start : start + most] for start in range(0, len(same), most))


def pad(windows: Sequence[EncodedWindow], pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """`input_ids` [B, T], `attention_mask` [B, T] and `spans` [B, S, T] (1 where a token belongs to the span)."""
    tokens = max(map(padded_length, windows))
    rows = _round_up(max(len(w.spans) for w in windows), _SPAN_STEP)
    ids = np.full((len(windows), tokens), pad_id, np.int64)
    mask = np.zeros((len(windows), tokens), np.float32)
    spans = np.zeros((len(windows), rows, tokens), np.float32)
    for i, window in enumerate(windows):
        n = len(window.input_ids)
        ids[i, :n], mask[i, :n] = window.input_ids, 1
        for j, (start, end) in enumerate(window.spans):
            spans[i, j, start:end] = 1
    return ids, mask, spans


def _round_up(n: int, step: int) -> int:
    return -(-n // step) * step
