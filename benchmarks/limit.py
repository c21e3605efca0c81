"""The physical limit: the encoder's matrix products back to back, and nothing else, at the best precision of this machine.

For each layer the products of a batch of tokens with the six weight matrices; what a pipeline does besides (attention, normalisation,
activation, tokenising, decoding) is left out. Tokens a second of a pipeline over tokens a second of this is its share of the limit.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from nlp_service.core.schema import Feedback
from nlp_service.model.bundle import Architecture, read_manifest
from nlp_service.model.openvino_runtime import native_bf16
from nlp_service.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Limit:
    """Tokens a second through the products of `layers` layers, and operations (multiplications and additions) a second."""

    precision: str
    layers: int
    tokens: float
    operations: float


def operations_a_token(shape: Architecture) -> int:
    """Of the encoder's matrix products; an addition and a multiplication count as two."""
    return 2 * shape.layers * (4 * shape.hidden_size**2 + 2 * shape.hidden_size * shape.intermediate_size)


def native_precisions() -> list[str]:
    """Those of `limit` that this processor does not have to emulate."""
    return ["f32", *(["bf16"] if native_bf16(ov.Core()) else []), "i8"]


def limit(shape: Architecture, precision: str, tokens: int = 2048, rounds: int = 7) -> Limit:
    """The fastest that `tokens` at once go through the products in `precision` (`f32`, `bf16`, `i8`); the median of `rounds`."""
    once = _bare(shape, precision, tokens)
    rate = median(once() for _ in range(rounds))
    return Limit(precision, shape.layers, rate, rate * operations_a_token(shape))


def _bare(shape: Architecture, precision: str, tokens: int) -> Callable[[], float]:
    """The products, warm; each call sends `tokens` through them and tells the tokens a second."""
    hint = "bf16" if precision == "bf16" else "f32"
    model = ov.Core().compile_model(_products(shape, precision == "i8", tokens), "CPU", {"INFERENCE_PRECISION_HINT": hint})
    request = model.create_infer_request()
    states = np.random.default_rng(0).uniform(-1, 1, (tokens, shape.hidden_size)).astype(np.float32)

    def once() -> float:
        start = time.perf_counter()
        request.infer(states, share_inputs=True, share_outputs=True)
        return tokens / (time.perf_counter() - start)

    once()
    return once


@dataclass(frozen=True, slots=True)
class Share:
    """Tokens a second of a bundle's whole network on sorted batches of `texts` texts, and of the bare products in the same turns."""

    model: str
    engine: str
    texts: int
    tokens: float
    bare: float
    share: float


def share(model: Path, precision: str, texts: Sequence[str], tokens: int = 2048, rounds: int = 5) -> Share:
    """The network and the products of its layers in `precision`, in turns; medians of `rounds`."""
    pipeline = Pipeline.load(model)
    windows = pipeline.start([Feedback(text=text) for text in texts]).windows
    count = sum(len(window.input_ids) for window in windows)
    once = _bare(read_manifest(model).architecture, precision, tokens)
    pipeline.runtime.infer(windows)
    own, bare = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        pipeline.runtime.infer(windows)
        own.append(count / (time.perf_counter() - start))
        bare.append(median(once() for _ in range(3)))
    return Share(
        pipeline.info.name, pipeline.runtime.description, len(texts), median(own), median(bare),
        median(a / b for a, b in zip(own, bare, strict=True)),
    )  # fmt: skip


def _products(shape: Architecture, int8: bool, tokens: int) -> ov.Model:
    rng = np.random.default_rng(0)
    hidden, inner = shape.hidden_size, shape.intermediate_size
    x = states = op.parameter([tokens, hidden], np.float32, name="states")
    for _ in range(shape.layers):
        # Query, key and value of the same input; summed, so that none of them is dead.
        q, k, v = (_product(x, hidden, rng, int8) for _ in range(3))
        x = _product(op.add(op.add(q, k), v), hidden, rng, int8)
        x = _product(_product(x, inner, rng, int8), hidden, rng, int8)
    return ov.Model([x], [states], "products")


def _product(x: Any, width: int, rng: np.random.Generator, int8: bool) -> Any:
    size = x.output(0).get_partial_shape()[1].get_length()
    weight = rng.normal(0, size**-0.5, (width, size)).astype(np.float32)
    if not int8:
        return op.matmul(x, op.constant(weight), False, True)
    scale = np.abs(weight).max(1, keepdims=True) / 127
    bound, low = op.constant(np.float32(4)), op.constant(np.float32(-4 * 128 / 127))
    steps = op.multiply(op.convert(op.constant(np.round(weight / scale).astype(np.int8)), "f32"), op.constant(scale))
    return op.matmul(op.fake_quantize(x, low, bound, low, bound, 256), steps, False, True)
