"""The shipped bundles, end to end: they answer, start soon enough, and no text's answer depends on its neighbours."""

import json
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.agreement import agreement
from nlp_service.core.schema import Feedback
from nlp_service.model.bundle import read_manifest
from nlp_service.pipeline import Pipeline

ROOT = Path(__file__).parents[1]
MODELS = [ROOT / "models" / name for name in ("cx-es-en", "cx-es-en-fast")]
MODEL = MODELS[0]

pytestmark = pytest.mark.bundle


@pytest.fixture(scope="module", params=MODELS, ids=lambda model: model.name)
def pipeline(request: pytest.FixtureRequest) -> Pipeline:
    return Pipeline.load(request.param)


def mixed_length_texts(count: int) -> list[str]:
    """Our own development texts: whole, in part, and several joined to long ones that need more than one window."""
    files = [ROOT / "data/authored/authored.jsonl", *sorted((ROOT / "data/original").glob("*.jsonl"))]
    whole = [row["text"] for path in files for row in map(json.loads, path.read_text("utf-8").splitlines()) if row["split"] != "train"]
    chance = random.Random(0)
    texts = chance.sample(whole, min(len(whole), count // 2))
    while len(texts) < count - 20:
        text = chance.choice(whole)
        texts.append(text[: chance.randrange(3, max(4, len(text)))])
    texts += ["\n".join(chance.sample(whole, 12)) for _ in range(10)]
    texts += ["", "?!", "👍", "Der Versand war schnell und die Qualität ist gut.", "ok"] * 2
    chance.shuffle(texts)
    return texts


def test_alone_and_in_any_batch_the_same_answer(pipeline: Pipeline) -> None:
    full_precision = pipeline.runtime.description.endswith("f32")
    texts = mixed_length_texts(1000)
    prepared = [pipeline.prepare(text) for text in texts]
    alone = [pipeline.logits([text])[0] for text in prepared]
    order = list(range(len(texts)))
    random.Random(1).shuffle(order)
    worst = 0.0
    for start in range(0, len(order), 250):
        chosen = order[start : start + 250]
        for i, together in zip(chosen, pipeline.logits([prepared[i] for i in chosen]), strict=True):
            single = alone[i]
            assert (single is None) == (together is None) == (prepared[i].status != "ok")
            if single is not None and together is not None:
                language = prepared[i].language.calibration
                a, b = (pipeline.decoder.probabilities(x.text, language) for x in (single, together))
                worst = max(worst, float(np.abs(a - b).max()))
                a, b = (pipeline.decoder.probabilities(x.segments, language) for x in (single, together))
                worst = max(worst, float(np.abs(a - b).max()))
    assert worst <= (1e-5 if full_precision else 5e-3)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_this_machines_precision_decides_as_full_precision_does(model: Path) -> None:
    """To 0.2 % of all decisions; in int8 only of those without a person: docs/decisions/0010 says why it cannot come closer."""
    found = agreement(model, "auto", mixed_length_texts(2000), alone=50)
    assert found.texts > 1900
    assert found.flipped_auto <= 0.002
    if "int8" in found.engine:
        assert found.flipped <= 0.005
        assert found.mean <= 0.005
    else:
        assert found.flipped <= 0.002
        assert found.p99 <= 0.02
    assert found.company <= 5e-3


def test_answers_are_whole(pipeline: Pipeline) -> None:
    """Everything that the schema promises, on texts of every kind."""
    texts = mixed_length_texts(120)
    for text, analysis in zip(texts, pipeline.analyze([Feedback(text=text) for text in texts], scores=True), strict=True):
        if analysis.status != "ok":
            assert analysis.sentiment is None
            assert analysis.emotions == analysis.touchpoints == analysis.signals == analysis.pairs == []
            continue
        assert analysis.sentiment is not None
        assert sum(analysis.sentiment.probabilities.values()) == pytest.approx(1, abs=1e-3)
        for span in (*analysis.segments, *(span for pair in analysis.pairs for span in pair.evidence)):
            assert text[span.start : span.end] == span.text
        assert {pair.emotion for pair in analysis.pairs} == {score.label for score in analysis.emotions}
        assert {pair.touchpoint for pair in analysis.pairs} <= {score.label for score in analysis.touchpoints} | {"general"}
        shown = {score.label for segment in analysis.segments for score in (*segment.emotions, *segment.touchpoints)}
        assert shown == {score.label for score in (*analysis.emotions, *analysis.touchpoints)}


@pytest.mark.parametrize(
    ("text", "emotions", "touchpoint", "sentiment"),
    [
        ("Me han cobrado dos veces la misma factura, estoy harta de llamar.", {"frustration", "anger"}, "billing", "negative"),
        ("¡Me encanta! El camarero fue un sol y la comida estaba buenísima.", {"joy", "satisfaction"}, "staff", "positive"),
        ("The courier left my parcel in the rain and it was ruined. So disappointed.", {"disappointment"}, "delivery", "negative"),
        ("I can't thank the nurses enough, they treated my mother like family.", {"gratitude"}, "staff", "positive"),
    ],
)
def test_plain_texts_are_read_right(pipeline: Pipeline, text: str, emotions: set[str], touchpoint: str, sentiment: str) -> None:
    (analysis,) = pipeline.analyze([Feedback(text=text)])
    assert emotions & {score.label for score in analysis.emotions}
    assert touchpoint in {score.label for score in analysis.touchpoints}
    assert analysis.sentiment is not None
    assert analysis.sentiment.label == sentiment


def test_other_languages_and_empty_texts_get_no_labels(pipeline: Pipeline) -> None:
    texts = ["Das Paket kam zu spät und war beschädigt.", "商品が遅れて届きました", "", "!!!", "10/10"]
    found = pipeline.analyze([Feedback(text=text) for text in texts])
    assert [a.status for a in found] == ["language_unsupported"] * 2 + ["no_text"] * 3


def test_start_to_first_answer() -> None:
    """A fresh process without torch, as the base install has none, answers its first text in under five seconds."""
    code = (
        "import sys; sys.modules['torch'] = None; from nlp_service.pipeline import Pipeline; from nlp_service.core.schema import Feedback\n"
        f"print(Pipeline.load({str(MODEL)!r}).analyze([Feedback(text='Todo perfecto, gracias')])[0].status)"
    )
    best = float("inf")
    for _ in range(3):  # a machine that is busy with something else says nothing about the start
        started = time.monotonic()
        out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()
        best = min(best, time.monotonic() - started)
        assert out == "ok"
        if best < 5:
            break
    assert best < 5


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_bundle_tells_where_its_weights_come_from(model: Path) -> None:
    card = (model / "README.md").read_text("utf-8")
    for name in ("goemotions", "mabsa", "CC BY 4.0", "Limits", "| es |", "| en |"):
        assert name in card
    manifest = (model / "manifest.json").read_text("utf-8")
    assert not re.search(r"/(home|root|work|tmp|Users)/", manifest)
    assert sum(path.stat().st_size for path in model.iterdir()) < 80e6


def test_half_the_layers_make_the_fast_bundle() -> None:
    full, fast = map(read_manifest, MODELS)
    assert 2 * fast.architecture.layers == full.architecture.layers
    for head in ("emotions", "touchpoints", "signals"):
        assert fast.metrics["all"][head]["macro_f1"] >= 0.96 * full.metrics["all"][head]["macro_f1"]
