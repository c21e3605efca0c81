"""The evaluation as a page that one can look at: one HTML file, no scripts, nothing fetched."""

from collections.abc import Sequence
from typing import Any

from nlp_service.core.taxonomy import HEADS, MULTI_LABEL_HEADS, Taxonomy
from training.evaluate import confusions, reliability
from training.outcomes import Outcomes
from training.pages import render

_SIDE = 180  # of a reliability diagram, in pixels


def page(title: str, outcomes: Outcomes, report: dict[str, Any], taxonomy: Taxonomy) -> str:
    """The page of a report made by `figures(outcomes, taxonomy)`. It holds ids of texts, never their words."""
    return render(
        "evaluation",
        title=title,
        report=report,
        taxonomy=taxonomy,
        languages=[name for name in taxonomy.languages if name in report],
        label_heads=MULTI_LABEL_HEADS,
        heads=HEADS,
        diagrams=[(head, name, _diagram(outcomes, name, head, taxonomy)) for head in HEADS for name in _languages(outcomes, taxonomy)],
        confusions={head: confusions(outcomes, taxonomy, head) for head in HEADS},
        side=_SIDE,
    )


def _languages(outcomes: Outcomes, taxonomy: Taxonomy) -> Sequence[str]:
    return [name for name in taxonomy.languages if any(record.lang == name for record in outcomes.records)]


def _diagram(outcomes: Outcomes, language: str, head: Any, taxonomy: Taxonomy) -> list[dict[str, float]]:
    """Dots of a reliability diagram: place in pixels from the top left, radius by the share of the decisions."""
    rows, s = outcomes.groups()[language], taxonomy.slices[head]
    p, true, known = outcomes.probability[rows, s], outcomes.true[rows, s], outcomes.known[rows, s]
    usable = known & ~(p != p)
    points = reliability(p[usable], true[usable], 10)
    most = max((n for _, _, n in points), default=1)
    return [{"x": _SIDE * x, "y": _SIDE * (1 - y), "r": 2 + 8 * (n / most) ** 0.25, "n": n, "p": x, "f": y} for x, y, n in points]
