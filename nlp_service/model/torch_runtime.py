"""The GPU runtime: torch. Needs the extra `gpu`."""

from collections.abc import Sequence

import torch

from nlp_service.core.errors import InputError
from nlp_service.model.bundle import Bundle, is_range
from nlp_service.model.encoding import EncodedWindow
from nlp_service.model.network import CxNetwork, build_encoder
from nlp_service.model.runtime import Logits, Precision, batches, pad

_TOKEN_BUDGET = 32_768


class TorchRuntime:
    """Runs a bundle with torch: in fp16 on a CUDA device unless `precision` is `fp32`, in fp32 on a CPU.

    Raises InputError where torch finds no such device, and for `int8`.
    """

    def __init__(self, bundle: Bundle, device: str = "cuda", precision: Precision = "auto") -> None:
        if precision == "int8":
            raise InputError("precision int8: only on a CPU")
        if device == "cuda" and not torch.cuda.is_available():
            raise InputError("device cuda: torch finds no CUDA device here")
        self._device = torch.device(device)
        shape = bundle.manifest.architecture
        network = CxNetwork(build_encoder(shape), len(bundle.taxonomy.label_ids), shape.attention_soft_cap)
        weights = {name: torch.from_numpy(array).float() for name, array in bundle.weights.items()}
        network.load_state_dict({name: x for name, x in weights.items() if not is_range(name)})
        self._network = network.to(self._device).eval()
        self._half = self._device.type == "cuda" and precision == "auto"
        self._pad_id = shape.pad_token_id

    @property
    def description(self) -> str:
        """Engine, device and precision."""
        return f"torch {self._device} {'f16' if self._half else 'f32'}"

    @torch.inference_mode()
    def infer(self, windows: Sequence[EncodedWindow]) -> list[Logits]:
        """See Runtime."""
        out: list[Logits | None] = [None] * len(windows)
        for indices in batches(windows, _TOKEN_BUDGET):
            arrays = pad([windows[i] for i in indices], self._pad_id)
            with torch.autocast(self._device.type, torch.float16, enabled=self._half):
                logits = self._network(*(torch.from_numpy(array).to(self._device) for array in arrays)).float().cpu().numpy()
            for row, i in enumerate(indices):
                out[i] = logits[row, : len(windows[i].spans)]
        return [logits for logits in out if logits is not None]
