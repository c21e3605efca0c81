"""Answers for people who read a terminal. Plain text: it looks the same in a log, a pipe and a ticket."""

from collections.abc import Iterable, Sequence
from typing import Any

from nlp_service.archive.score import Report
from nlp_service.core.schema import Analysis, LabelScore, Pair
from nlp_service.core.taxonomy import GENERAL, HEADS, Taxonomy
from nlp_service.core.text import prepare

_WORDS = {
    "es": {
        "language": "Idioma", "sentiment": "Sentimiento", "emotions": "Emociones", "touchpoints": "Puntos de contacto",
        "signals": "Señales", "pairs": "Qué emoción sobre qué", "scores": "Todas las probabilidades", "model": "Modelo",
        GENERAL: "en general", "auto": "automático", "suggest": "sugerencia", "none": "ninguna",
        "es": "español", "en": "inglés", "mixed": "español e inglés", "other": "otro", "unknown": "desconocido",
        "no_text": "No hay nada que leer: el texto no tiene ninguna letra.",
        "language_unsupported": "El texto no está en español ni en inglés.",
        "failed": "El modelo falló con este texto.",
    },
    "en": {
        "language": "Language", "sentiment": "Sentiment", "emotions": "Emotions", "touchpoints": "Touchpoints",
        "signals": "Signals", "pairs": "Which emotion about what", "scores": "All probabilities", "model": "Model",
        GENERAL: "in general", "auto": "auto", "suggest": "suggest", "none": "none",
        "es": "Spanish", "en": "English", "mixed": "Spanish and English", "other": "other", "unknown": "unknown",
        "no_text": "There is nothing to read: the text has no letter.",
        "language_unsupported": "The text is neither Spanish nor English.",
        "failed": "The model failed on this text.",
    },
}  # fmt: skip
_QUOTE = 160  # characters of a quoted clause that fit two lines of a terminal


def render_analysis(analysis: Analysis, taxonomy: Taxonomy, language: str | None = None) -> str:
    """The analysis as text, labels named in `language` (es, en); None takes the text's own, English where that is neither."""
    language = language or (analysis.language if analysis.language in _WORDS else "en")
    words = _WORDS[language]
    names = {label.id: getattr(label, language) for head in HEADS for label in taxonomy.labels(head)} | {GENERAL: words[GENERAL]}
    lines = [f"{words['language']}: {words[analysis.language]}"]
    if analysis.status != "ok":
        lines.append(words[analysis.status])
    elif analysis.sentiment:
        each = ", ".join(f"{names[label]} {p:.2f}" for label, p in analysis.sentiment.probabilities.items())
        lines.append(f"{words['sentiment']}: {names[analysis.sentiment.label]} ({analysis.sentiment.score:+.2f}; {each})")
        lines += _labels(words["emotions"], analysis.emotions, names, words)
        lines += _labels(words["touchpoints"], analysis.touchpoints, names, words)
        lines += _labels(words["signals"], analysis.signals, names, words)
        lines += _pairs(analysis.pairs, names, words)
    lines += _scores(analysis, names, words)
    lines.append(f"{words['model']}: {analysis.model.name} {analysis.model.version}")
    return "\n".join(lines)


def render_report(report: Report) -> str:
    """The summary at the end of a scoring job."""
    new = report.rows - report.resumed
    rate = f", {new / report.seconds:,.0f} rows/s" if new and report.seconds > 0 else ""
    ids = f"ids from {report.columns.id!r}" if report.columns.id is not None else "ids are row numbers"
    lines = [
        f"{report.output}: {report.rows:,} rows in {report.seconds:,.1f} s{rate}"
        + (f" ({report.resumed:,} of an earlier run)" if report.resumed else ""),
        f"text from {report.columns.text!r}, {ids}" + (f"; {report.copies:,} copies of texts read before" if report.copies else ""),
        *(f"  {status:22}{count:>12,}" for status, count in report.counts.items()),
        *(f"  row {row.number:,}: {row.reason}" for row in report.problems),
    ]
    return "\n".join(lines)


def render_card(card: dict[str, Any]) -> str:
    """The `model` command's card (see `nlp_service.cli.card`) as tables."""
    lines = [f"{card['name']} {card['version']} (taxonomy {card['taxonomy']}, languages {', '.join(card['languages'])})", ""]
    rows = [
        [label, *(_number(bands[band][key]) if bands[band] else "-" for band in ("suggest", "auto") for key in _BAND)]
        for label, bands in card["thresholds"].items()
    ]
    lines += _table(["label", *(f"{band} {key}" for band in ("suggest", "auto") for key in _BAND)], rows)
    if card["metrics"]:
        groups = card["metrics"]
        columns = list(dict.fromkeys(key for group in groups.values() for key in group))
        lines += ["", *_table(["measured on", *columns], [[name, *(_number(g.get(c)) for c in columns)] for name, g in groups.items()])]
    return "\n".join(lines)


_BAND = ("threshold", "precision", "recall")


def _labels(title: str, found: Sequence[LabelScore], names: dict[str, str], words: dict[str, str]) -> list[str]:
    if not found:
        return [f"{title}: {words['none']}"]
    width = max(len(names[score.label]) for score in found)
    return [f"{title}:", *(f"  {names[score.label]:{width}}  {score.probability:.2f}  {words[score.decision]}" for score in found)]


def _pairs(pairs: Sequence[Pair], names: dict[str, str], words: dict[str, str]) -> list[str]:
    lines = [f"{words['pairs']}:"] if pairs else []
    for pair in pairs:
        lines.append(f"  {names[pair.emotion]} → {names[pair.touchpoint]}  {pair.probability:.2f}")
        lines += [f"    “{_quoted(span.text)}”" for span in pair.evidence]
    return lines


def _scores(analysis: Analysis, names: dict[str, str], words: dict[str, str]) -> list[str]:
    if not analysis.scores:
        return []
    labels = [(names[label], p) for scores in analysis.scores.values() for label, p in scores.items()]
    width = max(len(name) for name, _ in labels)
    return [f"{words['scores']}:", *(f"  {name:{width}}  {p:.4f}" for name, p in labels)]


def _quoted(text: str) -> str:
    """A clause on one line, without control characters, which could move a terminal's cursor."""
    line = " ".join(prepare(text).split())
    return line if len(line) <= _QUOTE else f"{line[: _QUOTE - 1]}…"


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """First column to the left, figures to the right."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]) for row in cells
    ]
