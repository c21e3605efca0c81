"""The CPU runtime: OpenVINO, on a graph built from the bundle's weights. Needs no torch and no exported copy of the model."""

import threading
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import openvino as ov
from openvino import opset13 as op

from nlp_service.model.bundle import Architecture, Bundle
from nlp_service.model.encoding import EncodedWindow
from nlp_service.model.runtime import Logits, batches, pad

Precision = Literal["auto", "fp32"]

_MASKED = -1e4  # added to the attention scores of padding; finite, so that it survives reduced precision
_TOKEN_BUDGET = 4096


class OpenVinoRuntime:
    """Runs a bundle on the CPU.

    `precision`: `auto` leaves the choice to OpenVINO, which multiplies in bf16 where the processor does so natively (AMX,
    AVX512-BF16) and in fp32 elsewhere; `fp32` forces full precision.
    """

    def __init__(self, bundle: Bundle, precision: Precision = "auto") -> None:
        core = ov.Core()
        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if precision == "fp32":
            config["INFERENCE_PRECISION_HINT"] = "f32"
        self._compiled = core.compile_model(build_graph(bundle), "CPU", config)
        self._pad_id = bundle.manifest.architecture.pad_token_id
        self._local = threading.local()
        kind = self._compiled.get_property("INFERENCE_PRECISION_HINT")
        self._description = f"openvino cpu {kind.get_type_name()}"

    @property
    def description(self) -> str:
        """Engine, device and precision."""
        return self._description

    def infer(self, windows: Sequence[EncodedWindow]) -> list[Logits]:
        """See Runtime."""
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        out: list[Logits | None] = [None] * len(windows)
        for indices in batches(windows, _TOKEN_BUDGET):
            chosen = [windows[i] for i in indices]
            result = self._local.request.infer(pad(chosen, self._pad_id), share_inputs=True, share_outputs=True)[0]
            for row, i in enumerate(indices):
                out[i] = result[row, : len(windows[i].spans)].copy()
        return [logits for logits in out if logits is not None]


def build_graph(bundle: Bundle) -> ov.Model:
    """The network of model/network.py as an OpenVINO model: `input_ids`, `attention_mask`, `spans` -> logits [B, S, L]."""
    shape, weights = bundle.manifest.architecture, bundle.weights

    def constant(name: str) -> Any:
        return op.constant(weights[name].astype(np.float32))

    ids = op.parameter([-1, -1], np.int64, name="input_ids")
    mask = op.parameter([-1, -1], np.float32, name="attention_mask")
    spans = op.parameter([-1, -1, -1], np.float32, name="spans")

    states = _embed(ids, shape, weights, constant)
    blocked = op.multiply(op.subtract(op.constant(np.float32(1)), mask), op.constant(np.float32(_MASKED)))
    blocked = op.unsqueeze(op.unsqueeze(blocked, op.constant(1)), op.constant(1))
    for i in range(shape.layers):
        states = _layer(states, blocked, f"encoder.encoder.layer.{i}.", shape, constant)
    return ov.Model([_heads(states, spans, shape, constant)], [ids, mask, spans], bundle.manifest.name)


def _embed(ids: Any, shape: Architecture, weights: Any, constant: Any) -> Any:
    prefix = "encoder.embeddings."
    words = op.gather(constant(prefix + "word_embeddings.weight"), ids, op.constant(0))
    # All tokens are of type 0: its vector is folded into the positions.
    table = weights[prefix + "position_embeddings.weight"].astype(np.float32)[shape.position_offset :]
    table = table + weights[prefix + "token_type_embeddings.weight"].astype(np.float32)[0]
    tokens = op.gather(op.shape_of(ids), op.constant([1]), op.constant(0))
    positions = op.slice(op.constant(table), op.constant([0]), tokens, op.constant([1]), op.constant([0]))
    return _normalise(op.add(words, positions), prefix + "LayerNorm", shape, constant)


def _layer(x: Any, blocked: Any, prefix: str, shape: Architecture, constant: Any) -> Any:
    heads, size = shape.heads, shape.hidden_size // shape.heads

    def split(name: str) -> Any:
        projected = op.reshape(_linear(x, prefix + "attention.self." + name, constant), op.constant([0, 0, heads, size]), True)
        return op.transpose(projected, op.constant([0, 2, 1, 3]))

    attended = op.scaled_dot_product_attention(split("query"), split("key"), split("value"), blocked)
    joined = op.reshape(op.transpose(attended, op.constant([0, 2, 1, 3])), op.constant([0, 0, shape.hidden_size]), True)
    x = op.add(x, _linear(joined, prefix + "attention.output.dense", constant))
    x = _normalise(x, prefix + "attention.output.LayerNorm", shape, constant)
    inner = op.gelu(_linear(x, prefix + "intermediate.dense", constant), "erf")
    x = op.add(x, _linear(inner, prefix + "output.dense", constant))
    return _normalise(x, prefix + "output.LayerNorm", shape, constant)


def _heads(states: Any, spans: Any, shape: Architecture, constant: Any) -> Any:
    """Label-wise attention pooling over the spans; see model/network.py."""
    cap = op.constant(np.float32(shape.attention_soft_cap))
    scores = op.matmul(states, constant("heads.query.weight"), False, True)
    weight = op.exp(op.multiply(cap, op.tanh(op.divide(scores, cap))))
    evidence = op.multiply(weight, op.matmul(states, constant("heads.value.weight"), False, True))
    total = op.maximum(op.matmul(spans, weight, False, False), op.constant(np.float32(1e-6)))
    return op.add(op.divide(op.matmul(spans, evidence, False, False), total), constant("heads.value.bias"))


def _linear(x: Any, name: str, constant: Any) -> Any:
    return op.add(op.matmul(x, constant(name + ".weight"), False, True), constant(name + ".bias"))


def _normalise(x: Any, name: str, shape: Architecture, constant: Any) -> Any:
    normal = op.mvn(x, op.constant([-1]), True, shape.layer_norm_eps, "inside_sqrt")
    return op.add(op.multiply(normal, constant(name + ".weight")), constant(name + ".bias"))
