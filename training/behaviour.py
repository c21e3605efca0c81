"""Behaviour of a bundle, capability by capability: minimal pairs and invariances (Ribeiro et al. 2020, CheckList)."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nlp_service.core.errors import InputError
from nlp_service.core.schema import Analysis, Feedback
from nlp_service.core.taxonomy import Taxonomy
from nlp_service.pipeline import Pipeline
from training.data import read_labelled
from training.noise import with_typos, without_accents
from training.records import Record, read_jsonl

DERIVED = 120
"""About so many development records are changed, evenly taken."""

KEPT = 2 / 3
"""Two texts that should be read alike share at least this part of all the emotions and touchpoints that either shows."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Expectation(_Strict):
    """What the answer to one text must show and must not show (ids of emotions, touchpoints, signals), and its sentiment."""

    has: list[str] = []
    lacks: list[str] = []
    sentiment: Literal["negative", "neutral", "positive", "mixed"] | None = None


class Case(_Strict):
    """Texts that differ in one thing. `expect`: one for each text. `same`: all texts must be read alike."""

    id: str
    capability: str
    lang: str
    texts: list[str] = Field(min_length=1)
    expect: list[Expectation] = []
    same: bool = False


@dataclass(frozen=True, slots=True)
class Rate:
    """How many of the cases of a capability in a language pass; `failed` holds the ids of the others."""

    passed: int
    cases: int
    failed: tuple[str, ...]

    @property
    def share(self) -> float:
        return self.passed / self.cases


def read_cases(paths: Iterable[Path], taxonomy: Taxonomy) -> list[Case]:
    """Cases of JSONL files. Raises InputError naming the line and what is wrong with it."""
    cases: dict[str, Case] = {}
    for path in paths:
        for number, row in read_jsonl(path):
            where = f"{path}:{number}"
            try:
                case = Case.model_validate(row)
            except ValidationError as error:
                raise InputError(f"{where}: {error}") from error
            unknown = {label for e in case.expect for label in (*e.has, *e.lacks)} - set(taxonomy.label_ids)
            if unknown:
                raise InputError(f"{where}: labels not in the taxonomy: {sorted(unknown)}")
            if case.id in cases:
                raise InputError(f"{where}: id {case.id!r} stands twice")
            if case.expect and len(case.expect) != len(case.texts):
                raise InputError(f"{where}: expect has {len(case.expect)} entries for {len(case.texts)} texts")
            if not any(_says(e) for e in case.expect) and not (case.same and len(case.texts) > 1):
                raise InputError(f"{where}: neither an expectation nor texts to be read alike: it could not fail")
            cases[case.id] = case
    return list(cases.values())


def _says(expectation: Expectation) -> bool:
    return bool(expectation.has or expectation.lacks or expectation.sentiment)


def derived_cases(records: Sequence[Record]) -> Iterator[Case]:
    """Each record beside itself as customers or platforms change it, to be read alike; none where the change changes nothing."""
    for record in records:
        rng = random.Random(record.id)
        for capability, change in _CHANGES.items():
            changed = change(record.text, record.lang, rng)
            if changed != record.text:
                texts = [record.text, changed]
                yield Case(id=f"{record.id} {capability}", capability=capability, lang=record.lang, texts=texts, same=True)


def _signature(text: str, lang: str, rng: random.Random) -> str:
    name, phone = rng.choice(("Laura Méndez", "Tom Becker", "Iker Salas", "Priya Nair")), rng.randint(600_000_000, 699_999_999)
    return f"{text}\n\n" + (f"Saludos,\n{name}\nTel. {phone}" if lang == "es" else f"Kind regards,\n{name}\nTel. {phone}")


def _disclaimer(text: str, lang: str, rng: random.Random) -> str:
    spanish = (
        "Este mensaje y sus archivos adjuntos van dirigidos exclusivamente a su destinatario y pueden contener información "
        "confidencial. Si lo ha recibido por error, le rogamos que lo elimine y lo comunique al remitente."
    )
    english = (
        "This message and its attachments are intended only for the addressee and may contain confidential information. If you "
        "have received it in error, please delete it and notify the sender."
    )
    return f"{text}\n\n{spanish if lang == 'es' else english}"


_CHANGES: dict[str, Callable[[str, str, random.Random], str]] = {
    "accents and case removed": lambda text, lang, rng: without_accents(text).lower(),
    "capitals": lambda text, lang, rng: text.upper(),
    "typos": lambda text, lang, rng: with_typos(text, rng, 0.04),
    "repetition": lambda text, lang, rng: f"{text}\n{text}",
    "signature appended": _signature,
    "boilerplate appended": _disclaimer,
}


def all_cases(cases: Iterable[Path], records: Iterable[Path], taxonomy: Taxonomy) -> list[Case]:
    """Written cases and those derived from the development records of files."""
    held_back = [record for record in read_labelled(records, None, taxonomy) if record.split == "dev"]
    return [*read_cases(cases, taxonomy), *derived_cases(held_back[:: max(1, len(held_back) // DERIVED)])]


def run(pipeline: Pipeline, cases: Sequence[Case]) -> dict[tuple[str, str], Rate]:
    """(capability, language) -> how many of its cases pass."""
    texts = [text for case in cases for text in case.texts]
    answers = iter(pipeline.analyze([Feedback(text=text) for text in texts]))
    results: dict[tuple[str, str], list[tuple[str, bool]]] = {}
    for case in cases:
        passed = passes(case, [next(answers) for _ in case.texts])
        results.setdefault((case.capability, case.lang), []).append((case.id, passed))
    return {
        key: Rate(sum(ok for _, ok in found), len(found), tuple(case for case, ok in found if not ok))
        for key, found in sorted(results.items())
    }


def passes(case: Case, answers: Sequence[Analysis]) -> bool:
    """Whether the answers to the texts of `case` are as it wants them."""
    if any(not _meets(answer, wanted) for answer, wanted in zip(answers, case.expect, strict=False)):
        return False
    return not case.same or all(_alike(answers[0], other) for other in answers[1:])


def _meets(answer: Analysis, wanted: Expectation) -> bool:
    shown = _labels(answer) | {score.label for score in answer.signals}
    right = wanted.sentiment is None or (answer.sentiment is not None and answer.sentiment.label == wanted.sentiment)
    return right and shown >= set(wanted.has) and not shown & set(wanted.lacks)


def _alike(one: Analysis, other: Analysis) -> bool:
    if (one.sentiment and one.sentiment.label) != (other.sentiment and other.sentiment.label):
        return False
    first, second = _labels(one), _labels(other)
    return not first | second or len(first & second) / len(first | second) >= KEPT


def _labels(answer: Analysis) -> set[str]:
    return {score.label for score in (*answer.emotions, *answer.touchpoints)}


def raised_floors(floors: dict[str, dict[str, float]], rates: dict[tuple[str, str], Rate]) -> dict[str, dict[str, float]]:
    """`floors` (capability -> language -> pass rate) lifted to one case below `rates`, in hundredths; none ever sinks or goes."""
    out = {capability: dict(languages) for capability, languages in floors.items()}
    for (capability, language), rate in rates.items():
        reached = max(0, 100 * (rate.passed - 1) // rate.cases) / 100
        out.setdefault(capability, {})[language] = max(reached, floors.get(capability, {}).get(language, 0.0))
    return {capability: dict(sorted(out[capability].items())) for capability in sorted(out)}


def rates_table(rates: dict[tuple[str, str], Rate]) -> str:
    """Pass rates of each capability, per language, as a Markdown table."""
    languages = sorted({lang for _, lang in rates})
    lines = ["| capability | " + " | ".join(f"{x} | cases" for x in languages) + " |", "|---" * (1 + 2 * len(languages)) + "|"]
    for capability in sorted({name for name, _ in rates}):
        cells = []
        for language in languages:
            rate = rates.get((capability, language))
            cells.append(f"{rate.share:.2f} | {rate.cases}" if rate else "- | 0")
        lines.append(f"| {capability} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
