import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_bundle import build_tiny_bundle, edit_manifest, rewrite_weights, tiny_tokenizer

from nlp_service.core.errors import BundleError
from nlp_service.core.taxonomy import Taxonomy
from nlp_service.model.bundle import MANIFEST, TOKENIZER, WEIGHTS, Bundle, read_manifest, sha256, write_manifest
from nlp_service.model.encoding import EncodedWindow
from nlp_service.model.openvino_runtime import OpenVinoRuntime
from nlp_service.pipeline import Pipeline


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return build_tiny_bundle(tmp_path / "b")


def test_a_bundle_loads(tiny_bundle_folder: Path) -> None:
    bundle = Bundle.load(tiny_bundle_folder)
    assert bundle.taxonomy == Taxonomy.default()
    assert bundle.tokenizer.encode("pedido", add_special_tokens=False).tokens == ["▁pedido"]
    assert bundle.weights["heads.value.weight"].shape == (40, 32)
    assert Pipeline.load(tiny_bundle_folder).info.model_dump() == {"name": "tiny", "version": "2026.01", "taxonomy": 1}


def test_the_manifest_survives_writing(folder: Path) -> None:
    manifest = read_manifest(folder)
    before = (folder / MANIFEST).read_text("utf-8")
    write_manifest(folder, manifest)
    assert (folder / MANIFEST).read_text("utf-8") == before
    assert "enfado" in before
    assert "atención" in before  # written for people: no \u escapes


@pytest.mark.parametrize("name", [WEIGHTS, TOKENIZER])
@pytest.mark.parametrize("where", [0, 0.5, 1])
def test_one_flipped_byte_is_refused_by_name(folder: Path, name: str, where: float) -> None:
    data = bytearray((folder / name).read_bytes())
    data[int((len(data) - 1) * where)] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        Bundle.load(folder)


@pytest.mark.parametrize("name", [WEIGHTS, TOKENIZER])
def test_a_file_cut_short_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    with pytest.raises(BundleError, match=name):
        Bundle.load(folder)


@pytest.mark.parametrize("byte", [0, 5, 40])
def test_a_flipped_byte_of_the_manifest_is_refused_by_name(folder: Path, byte: int) -> None:
    data = bytearray((folder / MANIFEST).read_bytes())
    data[byte] ^= 0x80
    (folder / MANIFEST).write_bytes(data)
    with pytest.raises(BundleError, match=MANIFEST):
        Bundle.load(folder)


@pytest.mark.parametrize("name", [WEIGHTS, TOKENIZER, MANIFEST])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=name):
        Bundle.load(folder)


@pytest.mark.parametrize("name", [WEIGHTS, TOKENIZER, MANIFEST])
def test_a_folder_in_place_of_a_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(BundleError, match=name):
        Bundle.load(folder)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere"):
        Bundle.load(tmp_path / "nowhere")
    file = tmp_path / "model.bin"
    file.write_bytes(b"x")
    with pytest.raises(BundleError, match=r"model\.bin"):
        Bundle.load(file)


def test_the_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    spec = json.loads(tiny_tokenizer().to_str())
    pieces = spec["model"]["vocab"]
    pieces[-1], pieces[-2] = pieces[-2], pieces[-1]
    (folder / TOKENIZER).write_text(json.dumps(spec), "utf-8")
    with pytest.raises(BundleError, match=TOKENIZER):
        Bundle.load(folder)


def _add_piece(folder: Path) -> bytes:
    spec = json.loads((folder / TOKENIZER).read_bytes())
    spec["model"]["vocab"].append(["▁otro", -9.0])
    return json.dumps(spec).encode()


@pytest.mark.parametrize("content", [_add_piece, lambda _: b"{}", lambda _: b"\xff\xfe", lambda _: b"not json"])
def test_a_tokenizer_that_does_not_fit_is_refused_even_with_its_digest(folder: Path, content: Callable[[Path], bytes]) -> None:
    data = content(folder)
    (folder / TOKENIZER).write_bytes(data)
    edit_manifest(folder, lambda m: m["files"].update({TOKENIZER: sha256(data)}))
    with pytest.raises(BundleError, match=TOKENIZER):
        Bundle.load(folder)


def test_a_pickle_in_place_of_the_weights_is_refused_even_with_its_digest(folder: Path) -> None:
    data = b"\x80\x04cposix\nsystem\n(S'true'\ntR."
    (folder / WEIGHTS).write_bytes(data)
    edit_manifest(folder, lambda m: m["files"].update({WEIGHTS: sha256(data)}))
    with pytest.raises(BundleError, match=WEIGHTS):
        Bundle.load(folder)


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "unknown key": (lambda m: m.update(colour="red"), "colour"),
    "unknown key of the architecture": (lambda m: m["architecture"].update(dropout=0.1), "dropout"),
    "unknown key of a threshold": (lambda m: m["thresholds"]["anger"].update(always=True), "always"),
    "missing threshold": (lambda m: m["thresholds"].pop("anger"), "thresholds.*anger"),
    "threshold of no label": (lambda m: m["thresholds"].update(rage=m["thresholds"]["anger"]), "thresholds.*rage"),
    "threshold of a sentiment": (lambda m: m["thresholds"].update(mixed=m["thresholds"]["anger"]), "thresholds.*mixed"),
    "missing calibration": (lambda m: m["calibration"]["labels"]["en"].pop("price"), r"calibration\.labels\.en.*price"),
    "missing language": (lambda m: m["calibration"]["labels"].pop("en"), "calibration.labels.*languages"),
    "missing temperature": (lambda m: m["calibration"]["temperature"].pop("es"), "calibration.temperature.*languages"),
    "missing label": (lambda m: m["taxonomy"]["signals"].pop(), "escalation"),
    "wrong format": (lambda m: m.update(format=2), "format 2"),
    "missing digest": (lambda m: m["files"].pop(TOKENIZER), "files"),
    "one file more": (lambda m: m["files"].update({"code.py": "0"}), "files"),
    "path outside": (lambda m: m["files"].update({"../x": m["files"].pop(WEIGHTS)}), "files"),
    "broken taxonomy": (lambda m: m["taxonomy"]["touchpoints"][0].update(stage="x"), "stage"),
    "no window size": (lambda m: m.pop("preparation"), "preparation"),
    "tiny window": (lambda m: m["preparation"].update(max_tokens=8), "max_tokens"),
    "window longer than the positions": (lambda m: m["preparation"].update(max_tokens=65), "max_tokens"),
    "threshold above 1": (lambda m: m["thresholds"]["anger"]["suggest"].update(threshold=1.2), "threshold"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_manifest_that_breaks_a_rule_is_refused(folder: Path, fault: str) -> None:
    edit, named = FAULTS[fault]
    edit_manifest(folder, edit)
    with pytest.raises(BundleError, match=f"(?s){MANIFEST}.*{named}"):
        Bundle.load(folder)


def _cut(name: str, axis: int = 0) -> Callable[[dict[str, np.ndarray]], None]:
    def edit(weights: dict[str, np.ndarray]) -> None:
        weights[name] = np.ascontiguousarray(np.delete(weights[name], -1, axis))

    return edit


@pytest.mark.parametrize(
    ("name", "axis"),
    [
        ("encoder.embeddings.word_embeddings.weight", 0),
        ("encoder.embeddings.word_embeddings.weight", 1),
        ("encoder.embeddings.position_embeddings.weight", 0),
        ("encoder.encoder.layer.1.intermediate.dense.weight", 0),
        ("heads.value.weight", 0),
        ("heads.query.weight", 0),
        ("heads.value.bias", 0),
    ],
)
def test_weights_of_the_wrong_shape_are_refused(folder: Path, name: str, axis: int) -> None:
    rewrite_weights(folder, _cut(name, axis))
    with pytest.raises(BundleError, match=f"{WEIGHTS}.*{name}"):
        Bundle.load(folder)


@pytest.mark.parametrize("name", ["heads.value.weight", "heads.query.weight", "encoder.encoder.layer.0.attention.self.key.bias"])
def test_missing_weights_are_refused(folder: Path, name: str) -> None:
    rewrite_weights(folder, lambda weights: weights.pop(name))
    with pytest.raises(BundleError, match=f"{WEIGHTS}.*{name}"):
        Bundle.load(folder)


def test_what_loads_also_runs(folder: Path) -> None:
    bundle = Bundle.load(folder)
    runtime = OpenVinoRuntime(bundle, "fp32")
    assert runtime.description == "openvino cpu f32"
    [logits] = runtime.infer([EncodedWindow([0, 5, 2], [(0, 3)], [])])
    assert logits.shape == (1, 40)
    assert np.isfinite(logits).all()


def test_weights_that_nothing_reads_are_refused(folder: Path) -> None:
    rewrite_weights(folder, lambda weights: weights.update({"encoder.pooler.dense.weight": np.zeros((2, 2), np.float16)}))
    with pytest.raises(BundleError, match=f"{WEIGHTS}.*encoder.pooler.dense.weight"):
        Bundle.load(folder)
