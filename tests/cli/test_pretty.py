import pytest

from nlp_service.cli.pretty import render_analysis, render_card
from nlp_service.core.schema import Feedback, Pair, Span
from nlp_service.pipeline import Pipeline


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.load("fake")


def test_shows_labels_decisions_and_evidence(pipeline: Pipeline) -> None:
    [analysis] = pipeline.analyze([Feedback(text="The delivery was slow and gave me frustration.")])
    shown = render_analysis(analysis, pipeline.taxonomy).splitlines()
    assert shown[0] == "Language: English"
    assert "  frustration  0.98  auto" in shown
    assert "  delivery and fulfilment  0.98  auto" in shown
    assert "Signals: none" in shown
    assert (
        shown.index("    “The delivery was slow and gave me frustration.”")
        == next(i for i, line in enumerate(shown) if line.startswith("  frustration → delivery and fulfilment  0.9")) + 1
    )
    assert shown[-1] == "Model: fake 0"


def test_says_why_there_is_nothing(pipeline: Pipeline) -> None:
    [nothing] = pipeline.analyze([Feedback(text="...")])
    assert render_analysis(nothing, pipeline.taxonomy, "es").splitlines()[1].startswith("No hay nada que leer")
    assert render_analysis(nothing, pipeline.taxonomy).splitlines()[1].startswith("There is nothing to read")


def test_scores_of_every_label(pipeline: Pipeline) -> None:
    [analysis] = pipeline.analyze([Feedback(text="The delivery was slow and gave me frustration.")], scores=True)
    shown = render_analysis(analysis, pipeline.taxonomy)
    start = shown.index("All probabilities:")
    names = [line[2:].rsplit("  ", 1)[0].strip() for line in shown[start:].splitlines()[1:-1]]
    taxonomy = pipeline.taxonomy
    assert names == [label.en for head in ("emotions", "touchpoints", "sentiment", "signals") for label in taxonomy.labels(head)]  # type: ignore[arg-type]


def test_quotes_cannot_move_the_cursor_and_are_cut(pipeline: Pipeline) -> None:
    [analysis] = pipeline.analyze([Feedback(text="The delivery was a joy.")])
    text = "bad\x1b[2J\nline " + "x" * 500
    pair = Pair(touchpoint="general", emotion="joy", probability=0.5, evidence=[Span(start=0, end=len(text), text=text)])
    shown = render_analysis(analysis.model_copy(update={"pairs": [pair]}), pipeline.taxonomy)
    assert "\x1b" not in shown
    assert "    “bad [2J line xxx" in shown
    assert "joy → in general" in shown
    assert max(len(line) for line in shown.splitlines()) < 170


def test_card_shows_figures_of_each_group() -> None:
    band = {"threshold": 0.4, "precision": 0.75, "recall": 0.5, "support": 3}
    card = {
        "name": "m", "version": "1", "taxonomy": 1, "languages": ["es"], "thresholds": {"joy": {"suggest": band, "auto": None}},
        "metrics": {"all": {"records": 1200, "emotions macro_f1": 0.5}, "es": {"records": 7}},
    }  # fmt: skip
    lines = [line.split() for line in render_card(card).splitlines()]
    assert ["joy", "0.400", "0.750", "0.500", "-", "-", "-"] in lines
    assert ["all", "1,200", "0.500"] in lines
    assert ["es", "7", "-"] in lines
