"""A model without weights, for tests of everything around the model: a text has a label where it says the label's name."""

import re
from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace

from nlp_service.core.decisions import Band, Bands, Calibration, PairModel
from nlp_service.core.schema import ModelInfo
from nlp_service.core.taxonomy import HEADS, Taxonomy
from nlp_service.model.encoding import CLS, SEP, EncodedWindow
from nlp_service.model.runtime import Logits

FAKE = "fake"
"""Value of --model that asks for this."""


class FakeModel:
    """Tokenizer, runtime and decisions in one: logit 4 where a span holds a word of the label's names (id, es, en), else -4.

    Of the sentiment, `neutral` is -3, so that a text without a sentiment word is neutral.
    """

    description = "fake"

    def __init__(self) -> None:
        self.taxonomy = Taxonomy.default()
        words = {
            label.id: {w for w in re.findall(r"\w+", f"{label.id.replace('_', ' ')} {label.es} {label.en}".lower()) if len(w) > 3}
            for head in HEADS
            for label in self.taxonomy.labels(head)
        }
        vocabulary = {token: i for i, token in enumerate([CLS, "<pad>", SEP, "<unk>", *sorted(set().union(*words.values()))])}
        self.tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106
        self.tokenizer.normalizer = Lowercase()
        self.tokenizer.pre_tokenizer = Whitespace()
        self.info = ModelInfo(name=FAKE, version="0", taxonomy=self.taxonomy.version)
        self._tokens = [{vocabulary[w] for w in words[label]} for label in self.taxonomy.label_ids]
        self._floor = np.full(len(self.taxonomy.label_ids), -4.0, np.float32)
        self._floor[self.taxonomy.index["neutral"]] = -3.0

    @property
    def calibration(self) -> Calibration:
        """Probabilities as they come."""
        return Calibration.none(self.taxonomy.multi_label_ids, self.taxonomy.languages)

    @property
    def thresholds(self) -> dict[str, Bands]:
        """`suggest` at 0.5, `auto` at 0.9."""
        bands = Bands(suggest=Band(threshold=0.5), auto=Band(threshold=0.9))
        return dict.fromkeys(self.taxonomy.multi_label_ids, bands)

    @property
    def pairs(self) -> PairModel:
        """The default pair model."""
        return PairModel()

    def infer(self, windows: Sequence[EncodedWindow]) -> list[Logits]:
        """See Runtime."""
        return [np.stack([self._span(window.input_ids[start:end]) for start, end in window.spans]) for window in windows]

    def _span(self, ids: Sequence[int]) -> Logits:
        said = np.array([not tokens.isdisjoint(ids) for tokens in self._tokens])
        return np.where(said, np.float32(4.0), self._floor)
