"""Training with the rounding of eight bits, and the engine that multiplies so."""

import copy
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_bundle import PAD_ID, WORDS, build_tiny_bundle, rewrite_weights, tiny_architecture, tiny_network
from torch import nn

from nlp_service.core.errors import BundleError, InputError
from nlp_service.model.bundle import INPUT_REACH, Bundle
from nlp_service.model.cpu import fast_int8
from nlp_service.model.encoding import EncodedWindow, Encoder
from nlp_service.model.network import CxNetwork
from nlp_service.model.openvino_runtime import OpenVinoRuntime
from nlp_service.model.runtime import pad
from nlp_service.model.torch_runtime import TorchRuntime
from nlp_service.preparation import Preparation
from training.examples import Example
from training.quantise import RoundedLinear, is_rounded, measure, rounded, snapped

LABELS = 40


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> list[EncodedWindow]:
    bundle = Bundle.load(build_tiny_bundle(tmp_path_factory.mktemp("t"), 2))
    rng = random.Random(5)
    prepare = Preparation(Encoder(bundle.tokenizer, 64))
    texts = [" ".join(rng.choices([*WORDS, "pero", ".", ";", "9"], k=rng.choice([1, 3, 8, 20, 50]))) for _ in range(60)]
    return [w for text in texts for w in prepare(text, "es").windows]


@pytest.fixture(scope="module")
def network(windows: list[EncodedWindow]) -> CxNetwork:
    made = rounded(tiny_network(tiny_architecture(2), LABELS))
    measure(made, [Example(w, np.zeros((len(w.spans), LABELS), np.int8), 0, 1.0) for w in windows], PAD_ID, 1024)
    return made


@pytest.fixture(scope="module")
def bundle(network: CxNetwork, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """As training/export.py writes it."""
    folder = build_tiny_bundle(tmp_path_factory.mktemp("rounded"), 2)
    state = {name: tensor.to(torch.float16).numpy() for name, tensor in snapped(network.state_dict()).items()}
    rewrite_weights(folder, lambda weights: weights.update(state))
    return Bundle.load(folder)


def _torch(network: CxNetwork, window: EncodedWindow) -> NDArray[np.float32]:
    with torch.inference_mode():
        return network(*(torch.from_numpy(array) for array in pad([window], PAD_ID)))[0].numpy()[: len(window.spans)]


def test_the_engine_multiplies_as_the_network_was_trained(network: CxNetwork, bundle: Bundle, windows: list[EncodedWindow]) -> None:
    """To the last digit, but where a number at the edge of two steps falls to the other side."""
    int8, plain = OpenVinoRuntime(bundle, "int8"), OpenVinoRuntime(bundle, "fp32")
    assert int8.description == "openvino cpu int8"
    same = copy.deepcopy(network)
    same.load_state_dict({name: torch.from_numpy(array).float() for name, array in bundle.weights.items()})
    wanted = np.concatenate([_torch(same, window) for window in windows])
    difference = np.abs(np.concatenate(int8.infer(windows)) - wanted)
    unrounded = np.abs(np.concatenate(plain.infer(windows)) - wanted)
    assert np.median(difference) < 1e-5 < np.median(unrounded)
    assert difference.mean() < 0.1 * unrounded.mean()


def test_in_int8_too_the_answer_is_the_same_alone_and_in_any_batch(bundle: Bundle, windows: list[EncodedWindow]) -> None:
    runtime = OpenVinoRuntime(bundle, "int8")
    together = runtime.infer(windows)
    for window, logits in zip(windows, together, strict=True):
        np.testing.assert_allclose(runtime.infer([window])[0], logits, atol=1e-5, rtol=0)


def test_the_bundle_keeps_the_very_steps_of_the_weights(network: CxNetwork, bundle: Bundle) -> None:
    """So fp32 multiplies the same weights as int8, and half precision loses none."""
    again = snapped({name: torch.from_numpy(array).float() for name, array in bundle.weights.items()})
    layers = [name.removesuffix(INPUT_REACH) + "weight" for name in bundle.weights if name.endswith(INPUT_REACH)]
    assert len(layers) == 2 * 6
    changed = network.state_dict()
    for name in layers:
        kept = torch.from_numpy(bundle.weights[name]).float()
        step = (changed[name] * changed[name.removesuffix("weight") + INPUT_REACH]).abs().amax(1, keepdim=True) / 127
        reach = changed[name.removesuffix("weight") + INPUT_REACH]
        assert ((again[name] - kept) * reach / step).abs().max() < 0.1
        assert ((changed[name] - kept) * reach / step).abs().max() > 0.3


def test_gradients_pass_the_rounding() -> None:
    layer = nn.Linear(8, 4)
    layer.__class__ = RoundedLinear
    layer.register_buffer("input_centre", torch.zeros(8))
    layer.register_buffer("input_reach", torch.full((8,), 3.0))
    x = (4 * torch.rand(5, 8) - 2).requires_grad_()
    layer(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().min() > 0
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().min() > 0


def test_a_plain_network_stays_as_it_is() -> None:
    state = tiny_network(tiny_architecture(2), LABELS).state_dict()
    assert not is_rounded(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in snapped(state).items())


def test_int8_only_for_a_bundle_that_was_trained_for_it(tmp_path: Path) -> None:
    plain = Bundle.load(build_tiny_bundle(tmp_path / "plain", 2))
    with pytest.raises(InputError, match="int8"):
        OpenVinoRuntime(plain, "int8")
    assert OpenVinoRuntime(plain, "auto").description != "openvino cpu int8"


def test_auto_takes_int8_where_the_processor_is_fast_at_it(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nlp_service.model.openvino_runtime.native_bf16", lambda core: False)
    for fast in (True, False):
        monkeypatch.setattr("nlp_service.model.openvino_runtime.fast_int8", lambda fast=fast: fast)
        assert (OpenVinoRuntime(bundle, "auto").description == "openvino cpu int8") == fast


def test_torch_reads_a_rounded_bundle_in_full_precision(bundle: Bundle, windows: list[EncodedWindow]) -> None:
    for ours, theirs in zip(OpenVinoRuntime(bundle, "fp32").infer(windows), TorchRuntime(bundle, "cpu").infer(windows), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)
    with pytest.raises(InputError, match="int8"):
        TorchRuntime(bundle, "cpu", "int8")


def test_a_bundle_with_some_ranges_only_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    folder = build_tiny_bundle(tmp_path / "b", 2)
    one = next(name for name in bundle.weights if name.endswith(INPUT_REACH))
    rewrite_weights(folder, lambda weights: weights.update({one: bundle.weights[one]}))
    with pytest.raises(BundleError, match="input_"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    ("flags", "fast"), [("flags\t\t: fpu avx2 avx512_vnni", True), ("flags : avx_vnni", True), ("flags : avx2 avx512f", False), ("", False)]
)
def test_what_the_processor_says(flags: str, fast: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\npower management:\n", "ascii")
    assert fast_int8(tmp_path / "cpuinfo") is fast


def test_a_machine_that_does_not_tell_has_none(tmp_path: Path) -> None:
    assert fast_int8(tmp_path / "none") is False
