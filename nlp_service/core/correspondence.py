"""What a message carries beside its writer's own words: quoted earlier mail, signature blocks, confidentiality notices, repeats.

Line by line and in linear time, and without moving a code point; for both see docs/decisions/0007-correspondence.md.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile

from nlp_service.core.segments import Offsets
from nlp_service.core.text import has_letters, replaced

_QUOTED = re.compile(r"\s*>")
# "On Tue, 4 Mar 2025 at 10:02, Ann <a@b.c> wrote:" and "El mar, 4 mar 2025 a las 10:02, Ana escribió:", on one line or on two.
_WROTE = re.compile(r"\s*(On|El|Le)\b(?=.*\d).{6,200}(?<! I)(?<! we) (wrote|escribi[oó])\s*:\s*$", re.IGNORECASE)
# Of a header whose mail is not marked by ">": a person's "On 4 March the agent wrote:" has none of these.
_MAILED = re.compile(r"@|\d:\d\d|\b(19|20)\d\d\b")
_MARKER = re.compile(r"\s*[-_]{2,}\s*(original message|mensaje original|forwarded message|mensaje reenviado)\s*[-_]{2,}\s*$", re.IGNORECASE)
_RULE = re.compile(r"\s*[-_=]{4,}\s*$")
_FIELD = re.compile(r"\s*\*?(from|de|sent|date|to|cc|enviado|enviado el|fecha|para|subject|asunto)\s*:\*?\s*\S", re.IGNORECASE)
_SUBJECT = re.compile(r"\s*\*?(subject|asunto)\b", re.IGNORECASE)
_CONFIDENTIAL = re.compile(r"confiden[ct]ial|privileged|privilegiad", re.IGNORECASE)
_ADDRESSEE = re.compile(
    r"addressee|recipient|intended|destinatari[oa]|dirigid[oa]s?|received .{0,30}error|recibido .{0,30}error", re.IGNORECASE
)
_CLOSING = re.compile(
    r"\b(saludos?|abrazos?|besos|atentamente|atte|cordialmente|gracias(?! por nada)|regards|rgds|wishes|sincerely|faithfully"
    r"|gratefully|cheers|thanks(?! for nothing)|thank you(?! for nothing))\b",
    re.IGNORECASE,
)
_CLOSING_WORDS = 7
_SENT_FROM = re.compile(r"\s*(sent from|get outlook for|enviado (desde|con))\b", re.IGNORECASE)
_POSTSCRIPT = re.compile(r"\s*(p\.? ?[ds]\b|ps\b)", re.IGNORECASE)
_SENTENCE = 12  # letters and digits
_SIGNATURE_LINES = 7
_SIGNATURE_WIDTH = 70  # code points; a longer line is a sentence, no name, office or number


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    text: str


def own_words(text: str) -> str:
    """`text` with blanks in the place of what its writer did not write for the occasion; the same length, line breaks kept.

    A text that would be blank throughout stays as it is.
    """
    if "\n" not in text:
        return text
    out = blanked(text, _foreign(_lines(text)))
    return out if has_letters(out) else text


def repeats(text: str, clauses: Iterable[Offsets]) -> set[Offsets]:
    """Clauses that say word for word what one before them says: what is pasted twice is said once. Exclamations are no repeats."""
    seen: set[str] = set()
    again: set[Offsets] = set()
    for start, end in clauses:
        words = "".join(c for c in text[start:end].casefold() if c.isalnum())
        if len(words) >= _SENTENCE and words in seen:
            again.add((start, end))
        seen.add(words)
    return again


def blanked(text: str, spans: Iterable[Offsets]) -> str:
    """`text` with blanks in the place of `spans` (without overlap), line breaks kept."""
    return replaced(text, spans, lambda part: re.sub(r"[^\n]", " ", part))


def _lines(text: str) -> list[_Line]:
    found, start = [], 0
    for line in text.split("\n"):
        found.append(_Line(start, start + len(line), line))
        start += len(line) + 1
    return found


def _foreign(lines: list[_Line]) -> Iterator[Offsets]:
    """Offsets of the lines that are not the writer's."""
    headers = [_header(lines, i) for i in range(len(lines))]
    earlier = _earlier_mail(lines, headers)
    others = [i for i in range(len(lines)) if i not in earlier]
    quoted = {i for i in others if _QUOTED.match(lines[i].text)}
    quoted |= {i for k in others if headers[k] and _next_quoted(lines, headers[k][-1]) for i in headers[k] if i not in earlier}
    notices = _notices(lines, others)
    own = [i for i in others if i not in quoted and i not in notices and lines[i].text.strip()]
    yield from ((lines[i].start, lines[i].end) for i in {*earlier, *quoted, *notices, *_signature(lines, own)})


def _header(lines: list[_Line], i: int) -> list[int]:
    """Line `i`, with the next one where it takes both, as the line that announces a quotation; empty where it does not."""
    if _WROTE.match(lines[i].text):
        return [i]
    if i + 1 < len(lines) and len(lines[i + 1].text) < 200 and _WROTE.match(f"{lines[i].text} {lines[i + 1].text}"):
        return [i, i + 1]
    return []


def _next_quoted(lines: list[_Line], i: int) -> bool:
    following = next((lines[k].text for k in range(i + 1, len(lines)) if lines[k].text.strip()), "")
    return _QUOTED.match(following) is not None or _WROTE.match(following) is not None


def _earlier_mail(lines: list[_Line], headers: list[list[int]]) -> range:
    """The lines of an earlier mail below words of the writer: to the end, or to the rule that closes a forwarded one."""
    spoken = False
    for i, line in enumerate(lines):
        if spoken and _MARKER.match(line.text):
            closed = next((k + 1 for k in range(i + 1, len(lines)) if _RULE.match(lines[k].text)), len(lines))
            return range(i, closed)
        if spoken and (_outlook_header(lines, i) or (_mailed(lines, headers[i]) and not _next_quoted(lines, headers[i][-1]))):
            return range(i, len(lines))
        foreign = _QUOTED.match(line.text) or _MARKER.match(line.text) or _FIELD.match(line.text)
        spoken = spoken or (has_letters(line.text) and not foreign)
    return range(0)


def _outlook_header(lines: list[_Line], i: int) -> bool:
    """Three or more lines of header fields from line `i` on, one of them the subject."""
    block = list(takewhile(_FIELD.match, (line.text for line in lines[i : i + 8])))
    return len(block) >= 3 and any(_SUBJECT.match(text) for text in block)


def _mailed(lines: list[_Line], header: list[int]) -> bool:
    return bool(header) and _MAILED.search(" ".join(lines[i].text for i in header)) is not None


def _notices(lines: list[_Line], others: list[int]) -> set[int]:
    """Lines of paragraphs of `others`, but of the first, that declare the message confidential."""
    out: set[int] = set()
    paragraph: list[int] = []
    first = True
    for i in (*others, None):
        if i is not None and lines[i].text.strip():
            paragraph.append(i)
            continue
        words = " ".join(lines[k].text for k in paragraph)
        if not first and _CONFIDENTIAL.search(words) and _ADDRESSEE.search(words):
            out.update(paragraph)
        first = first and not paragraph
        paragraph = []
    return out


def _signature(lines: list[_Line], own: list[int]) -> list[int]:
    """The lines below the closing formula (which stays) or below `--`, where they look like a name with its office and numbers."""
    sent_from = [i for i in own if _SENT_FROM.match(lines[i].text) and len(lines[i].text) <= _SIGNATURE_WIDTH and i != own[0]]
    for place in range(max(1, len(own) - 1 - _SIGNATURE_LINES), len(own) - 1):
        line, below = lines[own[place]].text, own[place + 1 :]
        if not (line.strip() in ("--", "—", "__") or _is_closing(line)):
            continue
        short = all(len(lines[i].text) <= _SIGNATURE_WIDTH and not _POSTSCRIPT.match(lines[i].text) for i in below)
        if short and _is_name(lines[below[0]].text):
            return below
    return sent_from


def _is_closing(line: str) -> bool:
    return len(line.split()) <= _CLOSING_WORDS and _CLOSING.search(line) is not None


def _is_name(line: str) -> bool:
    """Whether most words begin with a capital, and none ends a sentence: "Ana Ruiz Gil", not "Sigo sin luz" below a "Gracias"."""
    words = [word for word in re.findall(r"[^\W\d_]+", line) if len(word) > 2 or word.istitle()]
    shouted = sum(word.isupper() and len(word) > 1 for word in words) > 1
    sentence = line.rstrip()[-1] in "!?" or (line.rstrip()[-1] == "." and len(words) == 1)
    return bool(words) and not shouted and not sentence and sum(word[0].isupper() for word in words) >= 0.6 * len(words)
