import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_bundle import WORDS, build_tiny_bundle, rewrite_weights

from nlp_service.core.schema import Feedback
from nlp_service.model.bundle import Bundle
from nlp_service.model.encoding import EncodedWindow, Encoder
from nlp_service.model.openvino_runtime import OpenVinoRuntime
from nlp_service.model.runtime import Runtime
from nlp_service.model.torch_runtime import TorchRuntime
from nlp_service.pipeline import Pipeline
from nlp_service.preparation import Preparation

SHAPES = {"bert": 0, "xlm-roberta": 2}


@pytest.fixture(scope="module", params=SHAPES)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.load(build_tiny_bundle(tmp_path_factory.mktemp("b"), SHAPES[request.param]))


@pytest.fixture(scope="module")
def cpu(bundle: Bundle) -> Runtime:
    return OpenVinoRuntime(bundle, "fp32")


@pytest.fixture(scope="module")
def windows(bundle: Bundle) -> list[EncodedWindow]:
    """Windows of texts of 1 to 150 words, several windows for the long ones."""
    rng = random.Random(5)
    prepare = Preparation(Encoder(bundle.tokenizer, 64))
    texts = [" ".join(rng.choices([*WORDS, "pero", ".", ";", "zzz", "9"], k=rng.choice([1, 3, 8, 20, 60, 150]))) for _ in range(60)]
    return [w for text in texts for w in prepare(text, "es").windows]


def test_the_graph_is_the_network(bundle: Bundle, cpu: Runtime, windows: list[EncodedWindow]) -> None:
    network = TorchRuntime(bundle, device="cpu")
    assert network.description == "torch cpu f32"
    for ours, theirs, window in zip(cpu.infer(windows), network.infer(windows), windows, strict=True):
        assert ours.shape == theirs.shape == (len(window.spans), 40)
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


def test_the_logits_tell_texts_apart(cpu: Runtime, windows: list[EncodedWindow]) -> None:
    """Else the comparisons of this file would prove nothing."""
    logits = np.stack([x[0] for x in cpu.infer(windows)])
    assert logits.std(axis=0).min() > 0.05


@pytest.mark.parametrize("kind", ["openvino", "torch"])
def test_alone_and_in_any_batch_the_answer_is_the_same(bundle: Bundle, cpu: Runtime, windows: list[EncodedWindow], kind: str) -> None:
    runtime = cpu if kind == "openvino" else TorchRuntime(bundle, device="cpu")
    windows = windows[:40]
    alone = [runtime.infer([window])[0] for window in windows]
    rng = random.Random(7)
    for size in (2, len(windows)):
        order = rng.sample(range(len(windows)), size)
        for i, logits in zip(order, runtime.infer([windows[i] for i in order]), strict=True):
            np.testing.assert_allclose(logits, alone[i], atol=1e-5, rtol=0)


def test_a_clause_is_read_in_its_context_but_pooled_alone(cpu: Runtime, windows: list[EncodedWindow]) -> None:
    """A span's logits depend on the tokens of the window, not on which other spans are asked for."""
    window = next(w for w in windows if len(w.spans) > 3)
    whole = cpu.infer([window])[0]
    some = EncodedWindow(window.input_ids, [window.spans[0], window.spans[2]], [window.segments[1]])
    np.testing.assert_allclose(cpu.infer([some])[0], whole[[0, 2]], atol=1e-5, rtol=0)


def test_several_threads_at_once(cpu: Runtime, windows: list[EncodedWindow]) -> None:
    expected = cpu.infer(windows)
    parts = [windows[i::8] for i in range(8)] * 3
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(cpu.infer, parts))
    for k, part in enumerate(results):
        for logits, wanted in zip(part, expected[k % 8 :: 8], strict=True):
            np.testing.assert_allclose(logits, wanted, atol=1e-5, rtol=0)


def test_nothing_in_nothing_out(bundle: Bundle, cpu: Runtime) -> None:
    assert cpu.infer([]) == []
    assert TorchRuntime(bundle, device="cpu").infer([]) == []


def test_both_runtimes_read_the_soft_cap_of_the_bundle(tmp_path: Path, windows: list[EncodedWindow]) -> None:
    bundle = Bundle.load(build_tiny_bundle(tmp_path / "b", attention_soft_cap=1.0))
    ours, theirs = OpenVinoRuntime(bundle, "fp32").infer(windows[:20]), TorchRuntime(bundle, device="cpu").infer(windows[:20])
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=0)


def test_reduced_precision_stays_near(bundle: Bundle, cpu: Runtime, windows: list[EncodedWindow]) -> None:
    """`auto` may multiply in bf16; the random weights here are far larger than trained ones, so the bound is wide."""
    fast = OpenVinoRuntime(bundle, "auto")
    difference = max(float(np.abs(a - b).max()) for a, b in zip(fast.infer(windows), cpu.infer(windows), strict=True))
    assert difference < 0.5


def test_the_pipeline_gives_the_same_answer_alone_and_in_company(tiny_bundle_folder: Path) -> None:
    pipeline = Pipeline.load(tiny_bundle_folder, precision="fp32")
    rng = random.Random(3)
    items = [Feedback(id=str(i), text=" ".join(rng.choices([*WORDS, "pero", "."], k=rng.randint(1, 90)))) for i in range(30)]
    items += [Feedback(id="e", text=""), Feedback(id="j", text="日本語のテキスト"), Feedback(id="s", text="😀 !!")]
    together = pipeline.analyze(items, scores=True)
    for item, answer in zip(items, together, strict=True):
        [alone] = pipeline.analyze([item], scores=True)
        assert (alone.id, alone.status, alone.language, alone.segments == [], alone.pairs == []) == (
            answer.id, answer.status, answer.language, answer.segments == [], answer.pairs == [],
        )  # fmt: skip
        for head, scores in (alone.scores or {}).items():
            assert scores == pytest.approx((answer.scores or {})[head], abs=1.1e-4)  # shown with four digits


# Each start is a process of its own: the names in a graph, which the key covers too, are numbered by process.
START = """
import sys
from pathlib import Path
from nlp_service.model.bundle import Bundle
from nlp_service.model.encoding import EncodedWindow
from nlp_service.model.openvino_runtime import OpenVinoRuntime

[bundle, *compiled] = map(Path, sys.argv[1:])
runtime = OpenVinoRuntime(Bundle.load(bundle), "fp32", compiled[0] if compiled else None)
print(runtime.infer([EncodedWindow([0, 5, 6, 7, 2], [(0, 5), (1, 4)], [0])])[0].tolist())
"""


def test_a_kept_graph_answers_as_a_fresh_one_and_only_for_its_own_weights(tmp_path: Path) -> None:
    def started(*folders: Path) -> str:
        return subprocess.run([sys.executable, "-c", START, *folders], capture_output=True, check=True, text=True).stdout

    one, other, compiled = tmp_path / "one", tmp_path / "other", tmp_path / "compiled"
    build_tiny_bundle(one)
    rewrite_weights(build_tiny_bundle(other), _one_number_changed)
    fresh = {bundle: started(bundle) for bundle in (one, other)}
    assert fresh[one] != fresh[other]
    for bundle, files in ((one, 1), (one, 1), (other, 2)):
        assert started(bundle, compiled) == fresh[bundle]
        assert len(list(compiled.iterdir())) == files
    for path in compiled.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert started(one, compiled) == fresh[one]


def _one_number_changed(weights: dict[str, Any]) -> None:
    name = "encoder.encoder.layer.0.output.dense.weight"
    weights[name] = weights[name].copy()
    weights[name][3, 5] += 1  # one number of one matrix
