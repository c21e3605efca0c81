"""Training with the rounding of eight bits in the forward pass (Jacob et al. 2018), so that the network is as good in int8 as in fp32.

Each input of an encoder's matrix product is measured once, channel by channel, and then mapped from its own range onto the same 256
steps; the weights take over the scales of the channels (as in SmoothQuant, Xiao et al. 2023), so channels that carry much larger numbers
than the others do not cost these their precision. Ranges are fixed: a text's answer cannot depend on its batch.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from nlp_service.model.bundle import INPUT_CENTRE, INPUT_REACH, is_range
from nlp_service.model.network import CxNetwork
from training.examples import Example, by_length, collate

_SHARE = 0.75  # of the differences between the input's channels that the weights take over; the rest stays with the input
_LEVELS = 127
# These read the same input, which is then rounded once for all of them.
_TOGETHER = ("attention.self.query", "attention.self.key", "attention.self.value")


class RoundedLinear(nn.Linear):
    """A linear layer whose input and weights are rounded to eight bits on the way; gradients pass as if they were not.

    `input_centre`, `input_reach` [in_features]: channel c of the input is cut to centre[c] ± reach[c].
    """

    input_centre: Tensor
    input_reach: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """See nn.Linear."""
        weight = _rounded_weight(self.weight, self.input_reach)
        x = torch.fake_quantize_per_tensor_affine((x - self.input_centre) / self.input_reach, 1 / _LEVELS, 0, -_LEVELS - 1, _LEVELS)
        bias = self.bias + F.linear(self.input_centre, weight / self.input_reach)
        return F.linear(x, weight, bias)


def _rounded_weight(weight: Tensor, reach: Tensor) -> Tensor:
    """[out, in] `weight` for an input that was divided by `reach`: each row in 255 steps."""
    weight = weight * reach
    scale = weight.detach().abs().amax(1).clamp_min(1e-8) / _LEVELS
    return torch.fake_quantize_per_channel_affine(weight, scale, torch.zeros_like(scale, dtype=torch.int32), 0, -_LEVELS, _LEVELS)


def rounded(network: CxNetwork) -> CxNetwork:
    """`network` with the linear layers of its encoder's layers as RoundedLinear, in place; their ranges are still to be filled in."""
    for layer in _linears(network).values():
        layer.__class__ = RoundedLinear
        for name in (INPUT_CENTRE, INPUT_REACH):
            layer.register_buffer(name, torch.ones(layer.in_features))
    return network


def is_rounded(weights: Mapping[str, Tensor]) -> bool:
    """Whether these are the weights of a `rounded` network."""
    return any(map(is_range, weights))


def snapped(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`weights`, those of rounded layers as they are after the rounding, so that half precision and fp32 keep just these steps."""
    out = dict(weights)
    for name, reach in weights.items():
        if name.endswith(INPUT_REACH):
            layer = name.removesuffix(INPUT_REACH) + "weight"
            out[layer] = _rounded_weight(weights[layer], reach) / reach
    return out


def measure(network: CxNetwork, examples: Sequence[Example], pad_id: int, tokens: int) -> None:
    """Fills in the ranges of a `rounded` network by what its layers are given when it reads `examples` in full precision."""
    linears = _linears(network)
    ranges: dict[str, tuple[Tensor, Tensor]] = {}
    mask = torch.ones(0, dtype=torch.bool)

    def watch(name: str) -> RemovableHandle:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0][mask]
            low, high = x.amin(0), x.amax(0)
            if name in ranges:
                low, high = torch.minimum(ranges[name][0], low), torch.maximum(ranges[name][1], high)
            ranges[name] = low, high

        return linears[name].register_forward_pre_hook(hook)

    for layer in linears.values():
        layer.__class__ = nn.Linear
    hooks = [watch(name) for name in linears]
    network.eval()
    with torch.inference_mode():
        for indices in by_length(examples, np.arange(len(examples)), tokens):
            batch = collate([examples[i] for i in indices], pad_id)
            mask = batch["attention_mask"].bool()
            network(batch["input_ids"], batch["attention_mask"], batch["spans"])
    for hook in hooks:
        hook.remove()
    for name, layer in linears.items():
        layer.__class__ = RoundedLinear
        low, high = ranges[name]
        # As the bundle will keep them: in half precision.
        buffers = dict(layer.named_buffers())
        buffers[INPUT_CENTRE].copy_(((low + high) / 2).half())
        buffers[INPUT_REACH].copy_(_reach((high - low) / 2, _weights(linears, name)).half())


def _reach(reach: Tensor, weights: Tensor) -> Tensor:
    """[in_features] that covers `reach` in every channel and leaves the weights' share of the differences with the input."""
    scale = reach.clamp_min(1e-4) ** _SHARE / weights.abs().amax(0).clamp_min(1e-5) ** (1 - _SHARE)
    return scale * (reach / scale).amax()


def _weights(linears: dict[str, nn.Linear], name: str) -> Tensor:
    """The weights of all layers that read the input of the layer `name`."""
    for one in _TOGETHER:
        if name.endswith(one):
            return torch.cat([linears[name.removesuffix(one) + other].weight.detach() for other in _TOGETHER])
    return linears[name].weight.detach()


def _linears(network: CxNetwork) -> dict[str, nn.Linear]:
    return {name: module for name, module in network.encoder.encoder.named_modules() if isinstance(module, nn.Linear)}
