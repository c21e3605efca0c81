"""Labelled texts: records of our own with their text, labels kept by reference, and the rules that both obey."""

import gzip
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from nlp_service.core.errors import InputError
from nlp_service.core.taxonomy import CLAUSE_HEADS, GENERAL, MULTI_LABEL_HEADS, Head, Taxonomy

Split = Literal["train", "calibration", "dev"]
SPLITS: tuple[Split, ...] = ("train", "calibration", "dev")


class _Shape(BaseModel):
    """What a row must look like before its labels are read; fields that tell where a text comes from are free."""

    model_config = ConfigDict(strict=True)


class _Place(_Shape):
    quote: str | None = None
    start: int | None = None
    end: int | None = None


class _Pair(_Place):
    touchpoint: str
    emotion: str


class _Segment(_Place):
    touchpoints: list[str]
    emotions: list[str]


class _Row(_Shape):
    id: str
    lang: str
    split: str
    emotions: list[str]
    touchpoints: list[str]
    sentiment: str
    signals: list[str]
    pairs: list[_Pair]
    segments: list[_Segment] = []


@dataclass(frozen=True, slots=True)
class LabelledSpan:
    """Code-point offsets into the text, and the labels that the stretch carries."""

    start: int
    end: int
    labels: frozenset[str]


@dataclass(frozen=True, slots=True)
class Record:
    """One labelled text. A label outside `known` is unknown, not absent.

    `spans` point at labels; for the heads in `exhaustive` every clause that carries a label is listed, for the others at least
    one. `pairs` is None where the source does not annotate pairs.
    """

    id: str
    text: str
    lang: str
    source: str
    split: Split
    positives: frozenset[str]
    known: frozenset[str]
    spans: tuple[LabelledSpan, ...] = ()
    exhaustive: frozenset[Head] = frozenset()
    pairs: frozenset[tuple[str, str]] | None = None


def read_jsonl(path: Path, faults: list[str] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of a JSONL file, gzipped or not.

    A line that is none is added to `faults`; without such a list it raises InputError. Both name the line.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row, fault = json.loads(line), "not an object"
            except json.JSONDecodeError as error:
                row, fault = None, f"not JSON ({error})"
            if isinstance(row, dict):
                yield number, row
            elif faults is None:
                raise InputError(f"{path}:{number}: {fault}")
            else:
                faults.append(f"{path}:{number}: {fault}")


def find(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """Files of `folder` that match; raises InputError for a pattern that matches none."""
    out: list[Path] = []
    for pattern in patterns:
        found = sorted(folder.glob(pattern))
        if not found:
            raise InputError(f"{folder / pattern}: no such file")
        out += found
    return out


def normalised(text: str) -> str:
    """What two copies of a text share: letters and digits, without case, accents or spacing."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return re.sub(r"[\W_]+", "", "".join(c for c in decomposed if not unicodedata.combining(c)))


def read_records(path: Path, taxonomy: Taxonomy, source: str, default_split: Split | None = None) -> Iterator[Record]:
    """Records with their own text: the fields of data/README.md. Raises InputError with every fault of the first bad line.

    `default_split` is for records that name none, such as a user's evaluation file; without it they are faulty.
    """
    for number, row in read_jsonl(path):
        if default_split:
            row.setdefault("split", default_split)
        yield _with_text(row, taxonomy, source, f"{path}:{number}")


def read_references(path: Path, texts: Mapping[str, str], taxonomy: Taxonomy, source: str) -> Iterator[Record]:
    """Labels by reference: `id` names a row of the corpora, spans are offsets. Raises InputError for a row that is not there."""
    for number, row in read_jsonl(path):
        if row.get("id") not in texts:
            raise InputError(f"{path}:{number}: id {row.get('id')!r} is in none of the corpora")
        yield _record(row, texts[row["id"]], _offset_spans, taxonomy, source, f"{path}:{number}")


def _with_text(row: dict[str, Any], taxonomy: Taxonomy, source: str, where: str) -> Record:
    if not isinstance(row.get("text"), str):
        raise InputError(f"{where}: text: missing or not a string")
    return _record(row, row["text"], _quoted_spans, taxonomy, source, where)


def _record(row: dict[str, Any], text: str, spans_of: Any, taxonomy: Taxonomy, source: str, where: str) -> Record:
    faults = _shape_faults(row)
    if not faults:
        faults = _label_faults(row, taxonomy)
    spans = spans_of(row, text, faults) if not faults else []
    if not faults:
        faults = _span_faults(row, spans)
    if faults:
        raise InputError(f"{where} {row.get('id')}: " + "; ".join(faults))
    return Record(
        id=row["id"], text=text, lang=row["lang"], source=source, split=row["split"],
        positives=frozenset([*row["emotions"], *row["touchpoints"], *row["signals"], row["sentiment"]]),
        known=_all_labels(taxonomy),
        spans=tuple(spans),
        exhaustive=frozenset(CLAUSE_HEADS if "segments" in row else ()),
        pairs=frozenset((p["touchpoint"], p["emotion"]) for p in row["pairs"]),
    )  # fmt: skip


@cache
def _all_labels(taxonomy: Taxonomy) -> frozenset[str]:
    return frozenset(taxonomy.label_ids)


def _shape_faults(row: dict[str, Any]) -> list[str]:
    try:
        _Row.model_validate(row)
    except ValidationError as error:
        return [
            f"{'.'.join(map(str, fault['loc']))}: {'missing' if fault['type'] == 'missing' else fault['msg']}" for fault in error.errors()
        ]
    return []


def _label_faults(row: dict[str, Any], taxonomy: Taxonomy) -> list[str]:
    faults = []
    if row["lang"] not in taxonomy.languages:
        faults.append(f"lang: {row['lang']!r} is none of {list(taxonomy.languages)}")
    for head in MULTI_LABEL_HEADS:
        unknown = sorted(set(row[head]) - {label.id for label in taxonomy.labels(head)})
        if unknown:
            faults.append(f"{head}: unknown {unknown}")
    if row["sentiment"] not in {label.id for label in taxonomy.sentiment}:
        faults.append(f"sentiment: unknown {row['sentiment']!r}")
    if row["split"] not in SPLITS:
        faults.append(f"split: {row['split']!r} is none of {SPLITS}")
    for pair in row["pairs"]:
        if pair["touchpoint"] != GENERAL and pair["touchpoint"] not in row["touchpoints"]:
            faults.append(f"pairs: touchpoint {pair['touchpoint']!r} is not among touchpoints")
    if {pair["emotion"] for pair in row["pairs"]} != set(row["emotions"]):
        faults.append("pairs: their emotions are not those of the record")
    return faults


def _span_faults(row: dict[str, Any], spans: list[LabelledSpan]) -> list[str]:
    """Where segments are labelled, they and the record must tell the same."""
    if "segments" not in row:
        return []
    shown = {label for segment in row["segments"] for head in CLAUSE_HEADS for label in segment[head]}
    told = {*row["emotions"], *row["touchpoints"]}
    return [f"segments: {sorted(shown ^ told)} stand only in the record or only in its segments"] if shown != told else []


def _quoted_spans(row: dict[str, Any], text: str, faults: list[str]) -> list[LabelledSpan]:
    """Spans of pairs and segments whose `quote` is copied from the text.

    The first place counts where it occurs; of a segment the first one behind the segment before, for they stand in order.
    """
    spans = []
    for pair in row["pairs"]:
        spans.append(_quoted(text, pair, {pair["touchpoint"], pair["emotion"]} - {GENERAL}, 0, faults))
    behind = 0
    for segment in row.get("segments", ()):
        spans.append(_quoted(text, segment, {*segment["touchpoints"], *segment["emotions"]}, behind, faults))
        behind = spans[-1].end
    return spans


def _quoted(text: str, place: dict[str, Any], labels: set[str], behind: int, faults: list[str]) -> LabelledSpan:
    quote = place.get("quote") or ""
    start = text.find(quote, behind) if quote else -1
    start = text.find(quote) if quote and start < 0 else start
    if start < 0:
        faults.append(f"quote is not in the text: {quote!r}")
    return LabelledSpan(start, start + len(quote), frozenset(labels))


def _offset_spans(row: dict[str, Any], text: str, faults: list[str]) -> list[LabelledSpan]:
    """Spans of pairs and segments that are given by `start` and `end`."""
    spans = []
    for name, entry, labels in [
        *(("pairs", pair, {pair["touchpoint"], pair["emotion"]}) for pair in row["pairs"]),
        *(("segments", segment, {*segment["touchpoints"], *segment["emotions"]}) for segment in row.get("segments", ())),
    ]:
        if not 0 <= entry.get("start", -1) < entry.get("end", -1) <= len(text):
            faults.append(f"{name}: offsets {entry.get('start')}-{entry.get('end')} are not inside the text")
        else:
            spans.append(LabelledSpan(entry["start"], entry["end"], frozenset(labels - {GENERAL})))
    return spans


def faults_of(paths: Iterable[Path], taxonomy: Taxonomy) -> list[str]:
    """Every fault of files of records with text: of each line, and ids and texts that occur twice in any of them."""
    faults: list[str] = []
    seen: dict[str, str] = {}
    for path in paths:
        for number, row in read_jsonl(path, faults):
            where = f"{path}:{number}"
            try:
                record = _with_text(row, taxonomy, path.stem, where)
            except InputError as error:
                faults.append(str(error))
                continue
            for what, key in (("id", record.id), ("text", normalised(record.text))):
                first = seen.setdefault(f"{what} {key}", where)
                if first != where:
                    faults.append(f"{where} {record.id}: {what} is that of {first}")
    return faults


def label_counts(records: Sequence[Record], taxonomy: Taxonomy) -> str:
    """Counts of the records by language and split, and of each label by language, as Markdown."""
    languages = sorted({record.lang for record in records})
    by_split = Counter((record.lang, record.split) for record in records)
    lines = ["| records | " + " | ".join(SPLITS) + " |", "|---" * (1 + len(SPLITS)) + "|"]
    lines += [f"| {lang} | " + " | ".join(str(by_split[lang, split]) for split in SPLITS) + " |" for lang in languages]
    by_label = Counter((record.lang, label) for record in records for label in record.positives)
    lines += ["", "| label | " + " | ".join(languages) + " |", "|---" * (1 + len(languages)) + "|"]
    lines += [f"| {label} | " + " | ".join(str(by_label[lang, label]) for lang in languages) + " |" for label in taxonomy.label_ids]
    return "\n".join(lines)
