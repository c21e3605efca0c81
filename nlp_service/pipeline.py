"""The only place that chains the stages: prepare -> infer -> decode. Every surface calls it, so a score is the same everywhere."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from tokenizers import Tokenizer

from nlp_service.core.decisions import Bands, Calibration, PairModel
from nlp_service.core.decoding import Decoder, ReadText, TextLogits
from nlp_service.core.errors import InputError
from nlp_service.core.schema import Analysis, Feedback, ModelInfo
from nlp_service.core.taxonomy import CLAUSE_HEADS, Taxonomy
from nlp_service.memory import Memory
from nlp_service.model.bundle import Bundle, Manifest
from nlp_service.model.encoding import EncodedWindow, Encoder
from nlp_service.model.fake import FAKE, FakeModel
from nlp_service.model.runtime import Logits, Precision, Runtime, infer_each
from nlp_service.preparation import Preparation, PreparedText

Device = Literal["cpu", "cuda"]
Outcome = Analysis | Exception


@dataclass(slots=True)
class _Text:
    """One distinct text of a batch; a `known` one was read before."""

    original: str
    prepared: PreparedText
    logits: TextLogits | None = None
    known: bool = False

    @property
    def windows(self) -> list[EncodedWindow]:
        """What is still to be inferred."""
        return [] if self.known else self.prepared.windows


@dataclass(frozen=True, slots=True)
class Batch:
    """Feedback on its way through the pipeline: its distinct texts, and of each piece of feedback the place of its text."""

    feedback: Sequence[Feedback]
    texts: list[_Text]
    places: list[int]

    @property
    def windows(self) -> list[EncodedWindow]:
        """What is to be inferred."""
        return [window for text in self.texts for window in text.windows]


class Pipeline:
    """Reads feedback with one model. Safe to share between threads."""

    def __init__(
        self, *, runtime: Runtime, tokenizer: Tokenizer, max_tokens: int, taxonomy: Taxonomy, calibration: Calibration,
        thresholds: dict[str, Bands], pairs: PairModel, info: ModelInfo, manifest: Manifest | None = None,
        memory_bytes: int = 0,
    ) -> None:  # fmt: skip
        """`memory_bytes`: how much may be kept of the texts read last, so that an exact copy is not read again; 0: each is read."""
        self.taxonomy, self.info, self.runtime = taxonomy, info, runtime
        self.manifest, self.thresholds = manifest, thresholds
        self.prepare = Preparation(Encoder(tokenizer, max_tokens))
        self.decoder = Decoder(taxonomy, calibration, thresholds, pairs, info)
        self.memory = Memory(memory_bytes) if memory_bytes else None

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        device: Device = "cpu",
        precision: Precision = "auto",
        memory_bytes: int = 0,
        compiled: Path | None = None,
    ) -> "Pipeline":
        """The pipeline of a bundle folder, or of the weightless model for `fake`. Raises BundleError for a bundle it cannot trust.

        `compiled`: folder in which the CPU's engine keeps what it compiled, see OpenVinoRuntime.
        """
        if str(model) == FAKE:
            fake = FakeModel()
            return cls(runtime=fake, tokenizer=fake.tokenizer, max_tokens=128, taxonomy=fake.taxonomy, calibration=fake.calibration,
                       thresholds=fake.thresholds, pairs=fake.pairs, info=fake.info, memory_bytes=memory_bytes)  # fmt: skip
        bundle = Bundle.load(Path(model))
        manifest = bundle.manifest
        return cls(
            runtime=_runtime(bundle, device, precision, compiled),
            tokenizer=bundle.tokenizer,
            max_tokens=manifest.preparation.max_tokens,
            taxonomy=manifest.taxonomy,
            calibration=manifest.calibration,
            thresholds=manifest.thresholds,
            pairs=manifest.pairs,
            info=manifest.info,
            manifest=manifest,
            memory_bytes=memory_bytes,
        )

    def analyze(self, feedback: Sequence[Feedback], *, scores: bool = False) -> list[Analysis]:
        """One analysis for each piece of feedback, in order. `scores` adds every label's probability.

        Raises what the first text that breaks the model raises.
        """
        outcomes = self.outcomes(feedback, scores=scores)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        return [outcome for outcome in outcomes if isinstance(outcome, Analysis)]

    def outcomes(self, feedback: Sequence[Feedback], *, scores: bool = False) -> list[Outcome]:
        """As `analyze`; a text that breaks the model has its error as outcome, and the others their analyses."""
        return self._read(self.start(feedback), scores)

    def stream(self, chunks: Iterable[Sequence[Feedback]], *, scores: bool = False) -> Iterator[list[Outcome]]:
        """`outcomes` of one chunk after the other; while the model reads one, the texts of the next are prepared."""
        with ThreadPoolExecutor(1, "prepare") as pool:
            waiting: Future[Batch] | None = None
            for chunk in chunks:
                ahead = pool.submit(self.start, chunk)
                if waiting:
                    yield self._read(waiting.result(), scores)
                waiting = ahead
            if waiting:
                yield self._read(waiting.result(), scores)

    def start(self, feedback: Sequence[Feedback]) -> Batch:
        """The first third of `outcomes`, for who does several things at once: each distinct text prepared, once."""
        places: dict[str, int] = {}
        batch = Batch(feedback, [], [])
        for item in feedback:
            batch.places.append(places.setdefault(item.text, len(batch.texts)) if self.memory else len(batch.texts))
            if batch.places[-1] == len(batch.texts):
                known = self.memory.get(item.text) if self.memory else None
                batch.texts.append(_Text(item.text, *known, known=True) if known else _Text(item.text, self.prepare(item.text)))
        if self.memory:
            self.memory.count_copies(len(feedback) - len(batch.texts))
        return batch

    def infer(self, batch: Batch) -> list[Logits | Exception]:
        """The second third: what the model makes of the batch's windows, in order."""
        return infer_each(self.runtime, batch.windows) if batch.windows else []

    def finish(self, batch: Batch, results: Sequence[Logits | Exception], *, scores: bool = False) -> list[Outcome]:
        """The last third: `results` are those of the batch's windows."""
        left = iter(results)
        failures: list[Exception | None] = []
        for text in batch.texts:
            outcomes = [next(left) for _ in text.windows]
            failure = next((outcome for outcome in outcomes if isinstance(outcome, Exception)), None)
            failures.append(failure)
            if not failure and not text.known:
                text.logits = self._merge(text.prepared, outcomes) if outcomes else None  # type: ignore[arg-type]
                if self.memory:
                    self.memory.put(text.original, text.prepared, text.logits)
        return [
            failures[place] or self._decode(item, batch.texts[place], scores)
            for item, place in zip(batch.feedback, batch.places, strict=True)
        ]

    def _read(self, batch: Batch, scores: bool) -> list[Outcome]:
        return self.finish(batch, self.infer(batch), scores=scores)

    def _decode(self, item: Feedback, text: _Text, scores: bool) -> Outcome:
        try:
            return self.decoder.decode(_read(item, text.prepared), text.logits, id=item.id, scores=scores)
        except Exception as error:
            return error

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


def _runtime(bundle: Bundle, device: Device, precision: Precision, compiled: Path | None) -> Runtime:
    if device == "cuda":
        try:
            from nlp_service.model.torch_runtime import TorchRuntime
        except ImportError as error:
            raise InputError("device cuda needs torch: install the extra `gpu`") from error

        return TorchRuntime(bundle, precision=precision)
    from nlp_service.model.openvino_runtime import OpenVinoRuntime

    return OpenVinoRuntime(bundle, precision, compiled)
