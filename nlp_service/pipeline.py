"""The only place that chains the stages: prepare -> infer -> decode. Every surface calls it, so a score is the same everywhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from tokenizers import Tokenizer

from nlp_service.core.decisions import Bands, Calibration, PairModel
from nlp_service.core.decoding import Decoder, ReadText, TextLogits
from nlp_service.core.errors import InputError
from nlp_service.core.schema import Analysis, Feedback, ModelInfo
from nlp_service.core.taxonomy import CLAUSE_HEADS, Taxonomy
from nlp_service.model.bundle import Bundle, Manifest
from nlp_service.model.encoding import Encoder
from nlp_service.model.fake import FAKE, FakeModel
from nlp_service.model.runtime import Logits, Runtime
from nlp_service.preparation import Preparation, PreparedText

Device = Literal["cpu", "cuda"]
Precision = Literal["auto", "fp32"]


class Pipeline:
    """Reads feedback with one model. Safe to share between threads."""

    def __init__(
        self, *, runtime: Runtime, tokenizer: Tokenizer, max_tokens: int, taxonomy: Taxonomy, calibration: Calibration,
        thresholds: dict[str, Bands], pairs: PairModel, info: ModelInfo, manifest: Manifest | None = None,
    ) -> None:  # fmt: skip
        self.taxonomy, self.info, self.runtime = taxonomy, info, runtime
        self.manifest, self.thresholds = manifest, thresholds
        self.prepare = Preparation(Encoder(tokenizer, max_tokens))
        self.decoder = Decoder(taxonomy, calibration, thresholds, pairs, info)

    @classmethod
    def load(cls, model: str | Path, *, device: Device = "cpu", precision: Precision = "auto") -> "Pipeline":
        """The pipeline of a bundle folder, or of the weightless model for `fake`. Raises BundleError for a bundle it cannot trust."""
        if str(model) == FAKE:
            fake = FakeModel()
            return cls(runtime=fake, tokenizer=fake.tokenizer, max_tokens=128, taxonomy=fake.taxonomy, calibration=fake.calibration,
                       thresholds=fake.thresholds, pairs=fake.pairs, info=fake.info)  # fmt: skip
        bundle = Bundle.load(Path(model))
        manifest = bundle.manifest
        return cls(
            runtime=_runtime(bundle, device, precision),
            tokenizer=bundle.tokenizer,
            max_tokens=manifest.preparation.max_tokens,
            taxonomy=manifest.taxonomy,
            calibration=manifest.calibration,
            thresholds=manifest.thresholds,
            pairs=manifest.pairs,
            info=manifest.info,
            manifest=manifest,
        )

    def analyze(self, feedback: Sequence[Feedback], *, scores: bool = False) -> list[Analysis]:
        """One analysis for each piece of feedback, in order. `scores` adds every label's probability."""
        prepared = [self.prepare(item.text) for item in feedback]
        return [
            self.decoder.decode(_read(item, text), logits, id=item.id, scores=scores)
            for item, text, logits in zip(feedback, prepared, self.logits(prepared), strict=True)
        ]

    def logits(self, prepared: Sequence[PreparedText]) -> list[TextLogits | None]:
        """Logits of each text, None where there is nothing to read."""
        windows = [window for text in prepared for window in text.windows]
        results = iter(self.runtime.infer(windows))
        return [self._merge(text, [next(results) for _ in text.windows]) if text.windows else None for text in prepared]

    def _merge(self, text: PreparedText, results: Sequence[Logits]) -> TextLogits:
        """Windows of a long text: a label holds for the text where it holds for any window; sentiment is the mean by tokens.

        An emotion or a touchpoint has for the text the mean of what the text and what its best clause say: two readings err less
        often than one (docs/decisions/0002-model.md).
        """
        segments = np.full((len(text.segments), results[0].shape[1]), -np.inf, np.float32)
        for window, result in zip(text.windows, results, strict=True):
            np.maximum.at(segments, window.segments, result[1:])
        first = np.stack([result[0] for result in results])
        whole = first.max(axis=0)
        sentiment = self.taxonomy.slices["sentiment"]
        weights = np.array([len(window.input_ids) - 2 for window in text.windows], np.float32)
        whole[sentiment] = weights @ first[:, sentiment] / weights.sum()
        for head in CLAUSE_HEADS:
            own = self.taxonomy.slices[head]
            whole[own] = (whole[own] + segments[:, own].max(axis=0)) / 2
        return TextLogits(whole, segments)


def _read(item: Feedback, text: PreparedText) -> ReadText:
    return ReadText(item.text, text.status, text.language.tag, text.language.calibration, text.segments, text.segment_languages)


def _runtime(bundle: Bundle, device: Device, precision: Precision) -> Runtime:
    if device == "cuda":
        try:
            from nlp_service.model.torch_runtime import TorchRuntime
        except ImportError as error:
            raise InputError("device cuda needs torch: install the extra `gpu`") from error

        return TorchRuntime(bundle, precision=precision)
    from nlp_service.model.openvino_runtime import OpenVinoRuntime

    return OpenVinoRuntime(bundle, precision)
