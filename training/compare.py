"""Two bundles side by side on the same texts in one run: what the second one loses and what it saves."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from nlp_service.core.schema import Feedback
from nlp_service.pipeline import Pipeline
from training.evaluate import MAIN_FIGURES, evaluate
from training.records import Record


@dataclass(frozen=True, slots=True)
class Measured:
    """The main figures of a bundle on an engine over all texts (name of the figure -> value) and its seconds a thousand texts."""

    name: str
    figures: dict[str, float]
    seconds: float


def compare(pipelines: Sequence[Pipeline], records: Sequence[Record], rounds: int = 5) -> list[Measured]:
    """Figures of each bundle in its pipeline's precision, and the median time of `rounds` readings of all, in turns: machines drift."""
    feedback = [Feedback(text=record.text) for record in records]
    seconds: list[list[float]] = [[] for _ in pipelines]
    for _ in range(rounds):
        for pipeline, times in zip(pipelines, seconds, strict=True):
            start = time.perf_counter()
            list(pipeline.analyze(feedback))
            times.append(time.perf_counter() - start)
    out = []
    for pipeline, times in zip(pipelines, seconds, strict=True):
        report = evaluate(pipeline, records, resamples=0)["all"]
        figures = {name: report[head][key] or 0.0 for name, (head, key) in MAIN_FIGURES.items()}
        name = f"{pipeline.info.name} {pipeline.info.version}, {pipeline.runtime.description}"
        out.append(Measured(name, figures, 1000 * median(times) / len(records)))
    return out


def comparison_table(measured: Sequence[Measured]) -> str:
    """One row a bundle, and below each but the first its share of the first, as Markdown."""
    first = measured[0]
    lines = ["| bundle | " + " | ".join(first.figures) + " | seconds a 1,000 texts |", "|---" * (2 + len(first.figures)) + "|"]
    for one in measured:
        lines.append(f"| {one.name} | " + " | ".join(f"{x:.3f}" for x in one.figures.values()) + f" | {one.seconds:.2f} |")
        if one is not first:
            shares = [f"{one.figures[name] / value:.1%}" if value else "–" for name, value in first.figures.items()]
            lines.append("| share of the first | " + " | ".join(shares) + f" | {one.seconds / first.seconds:.1%} |")
    return "\n".join(lines)
