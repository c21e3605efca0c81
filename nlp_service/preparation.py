"""The first stage of every use of a model: text -> language, clauses and encoded windows. Serving and training share it."""

from dataclasses import dataclass

from nlp_service.core.correspondence import blanked, own_words, repeats
from nlp_service.core.language import Language, identify, identify_parts
from nlp_service.core.schema import LanguageTag, Status
from nlp_service.core.segments import Offsets, segment
from nlp_service.core.text import has_letters, prepare, unshouted
from nlp_service.model.encoding import EncodedWindow, Encoder


@dataclass(frozen=True, slots=True)
class PreparedText:
    """A text ready for the encoder. `windows` is empty exactly when `status` is not `ok`."""

    text: str
    status: Status
    language: Language
    segments: list[Offsets]
    segment_languages: list[LanguageTag]
    windows: list[EncodedWindow]


class Preparation:
    """Prepares texts for one encoder."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def __call__(self, text: str, language: LanguageTag | None = None) -> PreparedText:
        """Prepares one text of any length and content; never raises. `language` (`es`, `en`) replaces identification.

        Only its writer's own words are read and segmented, with the rules of their language; where that is not supported there is
        nothing to encode. Shouted clauses are read in lower case.
        """
        text = prepare(text)
        if not has_letters(text):
            return PreparedText(text, "no_text", Language("unknown", "es"), [], [], [])
        own = own_words(text)
        whole = language or identify(own)[0]
        if whole == "other":
            return PreparedText(text, "language_unsupported", Language("other", "es"), [], [], [])
        segments = segment(own, whole)
        if again := repeats(own, segments):
            own, segments = blanked(own, again), [place for place in segments if place not in again]
        if language:
            found, languages = Language(language, language), [language] * len(segments)
        else:
            found, languages = identify_parts(whole, [own[start:end] for start, end in segments])
        # Blanks at the end would be a token of their own, and a text with a signature read otherwise than without.
        windows = self._encoder.encode(unshouted(own, segments).rstrip(), segments)
        return PreparedText(text, "ok", found, segments, languages, windows)
