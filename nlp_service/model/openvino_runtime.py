"""The CPU runtime: OpenVINO, on a graph built from the bundle's weights. Needs no torch and no exported copy of the model."""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

# Without this OpenVINO writes an id for usage statistics into the home folder, and fails where there is none.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov
from openvino import opset13 as op

from nlp_service.core.errors import InputError
from nlp_service.model.bundle import INPUT_CENTRE, INPUT_REACH, Bundle
from nlp_service.model.cpu import fast_int8
from nlp_service.model.encoding import EncodedWindow
from nlp_service.model.runtime import Logits, Precision, batches, pad

_MASKED = -1e4  # added to the attention scores of padding; finite, so that it survives reduced precision
_TOKEN_BUDGET = 1024  # more would leave the second-level cache


class OpenVinoRuntime:
    """Runs a bundle on the CPU.

    `precision`: `auto` multiplies in bf16 where the processor does so natively (AMX, AVX512-BF16), else in int8 where the bundle was
    trained for it and the processor is fast at it, else in fp32; `int8` and `fp32` force these. Raises InputError for `int8` with a
    bundle that was not trained for it.

    `compiled`: folder in which the engine keeps the graphs that it compiled, so that the next start with the same bundle skips that. Worth
    it where starts are many: the weights are kept a second time (docs/decisions/0010-engine.md).
    """

    def __init__(self, bundle: Bundle, precision: Precision = "auto", compiled: Path | None = None) -> None:
        if precision == "int8" and not bundle.rounded:
            raise InputError(f"precision int8: {bundle.manifest.name} was not trained for it")
        core = ov.Core()
        int8 = precision == "int8" or (precision == "auto" and bundle.rounded and fast_int8() and not native_bf16(core))
        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if precision != "auto":
            config["INFERENCE_PRECISION_HINT"] = "f32"
        if compiled:
            config["CACHE_DIR"] = str(compiled)
        self._compiled = core.compile_model(build_graph(bundle, int8=int8), "CPU", config)
        self._pad_id = bundle.manifest.architecture.pad_token_id
        self._local = threading.local()
        kind = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self._description = f"openvino cpu {'int8' if int8 else kind}"

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


def native_bf16(core: ov.Core) -> bool:
    """Whether this processor multiplies in bf16 itself; to emulate that takes many times longer than fp32."""
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def build_graph(bundle: Bundle, *, int8: bool = False) -> ov.Model:
    """The network of model/network.py as an OpenVINO model: `input_ids`, `attention_mask`, `spans` -> logits [B, S, L].

    `int8`: with the inputs and weights of the encoder's matrix products rounded as in training/quantise.py, which the engine then
    multiplies as whole numbers.
    """
    return _Graph(bundle, int8).model()


class _Graph:
    def __init__(self, bundle: Bundle, int8: bool) -> None:
        self._name, self._shape, self._weights, self._int8 = bundle.manifest.name, bundle.manifest.architecture, bundle.weights, int8

    def model(self) -> ov.Model:
        ids = op.parameter([-1, -1], np.int64, name="input_ids")
        mask = op.parameter([-1, -1], np.float32, name="attention_mask")
        spans = op.parameter([-1, -1, -1], np.float32, name="spans")
        states = self._embed(ids)
        blocked = op.multiply(op.subtract(op.constant(np.float32(1)), mask), op.constant(np.float32(_MASKED)))
        blocked = op.unsqueeze(op.unsqueeze(blocked, op.constant(1)), op.constant(1))
        for i in range(self._shape.layers):
            states = self._layer(states, blocked, f"encoder.encoder.layer.{i}.")
        return ov.Model([self._heads(states, spans)], [ids, mask, spans], self._name)

    def _embed(self, ids: Any) -> Any:
        prefix = "encoder.embeddings."
        words = op.gather(self._constant(prefix + "word_embeddings.weight"), ids, op.constant(0))
        # All tokens are of type 0: its vector is folded into the positions.
        table = self._array(prefix + "position_embeddings.weight")[self._shape.position_offset :]
        table = table + self._array(prefix + "token_type_embeddings.weight")[0]
        tokens = op.gather(op.shape_of(ids), op.constant([1]), op.constant(0))
        positions = op.slice(op.constant(table), op.constant([0]), tokens, op.constant([1]), op.constant([0]))
        return self._normalise(op.add(words, positions), prefix + "LayerNorm")

    def _layer(self, x: Any, blocked: Any, prefix: str) -> Any:
        heads, size = self._shape.heads, self._shape.hidden_size // self._shape.heads
        attended = prefix + "attention.self."
        read = self._rounded(x, attended + "query")  # key and value are rounded in the same way

        def split(name: str) -> Any:
            projected = op.reshape(self._linear(read, attended + name), op.constant([0, 0, heads, size]), True)
            return op.transpose(projected, op.constant([0, 2, 1, 3]))

        mixed = op.scaled_dot_product_attention(split("query"), split("key"), split("value"), blocked)
        joined = op.reshape(op.transpose(mixed, op.constant([0, 2, 1, 3])), op.constant([0, 0, self._shape.hidden_size]), True)
        x = op.add(x, self._project(joined, prefix + "attention.output.dense"))
        x = self._normalise(x, prefix + "attention.output.LayerNorm")
        inner = op.gelu(self._project(x, prefix + "intermediate.dense"), "erf")
        x = op.add(x, self._project(inner, prefix + "output.dense"))
        return self._normalise(x, prefix + "output.LayerNorm")

    def _heads(self, states: Any, spans: Any) -> Any:
        """Label-wise attention pooling over the spans; see model/network.py."""
        cap = op.constant(np.float32(self._shape.attention_soft_cap))
        scores = op.matmul(states, self._constant("heads.query.weight"), False, True)
        weight = op.exp(op.multiply(cap, op.tanh(op.divide(scores, cap))))
        evidence = op.multiply(weight, op.matmul(states, self._constant("heads.value.weight"), False, True))
        total = op.maximum(op.matmul(spans, weight, False, False), op.constant(np.float32(1e-6)))
        return op.add(op.divide(op.matmul(spans, evidence, False, False), total), self._constant("heads.value.bias"))

    def _project(self, x: Any, name: str) -> Any:
        return self._linear(self._rounded(x, name), name)

    def _rounded(self, x: Any, name: str) -> Any:
        """The input of the layer `name`: 256 steps from -128 / 127 to 1, each channel over its own range."""
        if not self._int8:
            return x
        centre, reach = self._array(f"{name}.{INPUT_CENTRE}"), self._array(f"{name}.{INPUT_REACH}")
        steps = op.add(op.multiply(x, op.constant(1 / reach)), op.constant(-centre / reach))
        low, high = op.constant(np.float32(-128 / 127)), op.constant(np.float32(1))
        return op.fake_quantize(steps, low, high, low, high, 256)

    def _linear(self, x: Any, name: str) -> Any:
        """The layer `name` on what `_rounded` gives."""
        weight, bias = self._array(name + ".weight"), self._array(name + ".bias")
        if not self._int8:
            return op.add(op.matmul(x, op.constant(weight), False, True), op.constant(bias))
        reach = self._array(f"{name}.{INPUT_REACH}")
        scale = np.maximum(np.abs(weight * reach).max(1, keepdims=True), 1e-8) / 127
        whole = np.clip(np.round(weight * reach / scale), -127, 127)
        bias = bias + (whole * scale / reach) @ self._array(f"{name}.{INPUT_CENTRE}")
        steps = op.multiply(op.convert(op.constant(whole.astype(np.int8)), "f32"), op.constant(scale))
        return op.add(op.matmul(x, steps, False, True), op.constant(bias))

    def _normalise(self, x: Any, name: str) -> Any:
        normal = op.mvn(x, op.constant([-1]), True, self._shape.layer_norm_eps, "inside_sqrt")
        return op.add(op.multiply(normal, self._constant(name + ".weight")), self._constant(name + ".bias"))

    def _array(self, name: str) -> Any:
        return self._weights[name].astype(np.float32)

    def _constant(self, name: str) -> Any:
        return op.constant(self._array(name))
