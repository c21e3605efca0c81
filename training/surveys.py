"""Figures behind two decisions, printed again on demand: the language identifier and the trimmed vocabulary."""

import random
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from nlp_service.core.language import SUPPORTED, identify, ranked
from training.base_model import load_base
from training.corpora import load_corpus
from training.records import Record
from training.vocabulary import same_tokenisation


def language_texts(records: Sequence[Record], corpora: Path | None, sample: int = 600) -> list[tuple[str, str]]:
    """(text, language) of the records, and of a sample of each of three corpora of short texts."""
    texts = [(record.text, record.lang) for record in records]
    for name in ("brighter", "mabsa", "xed") if corpora else ():
        rows = load_corpus(corpora, name)  # type: ignore[arg-type]
        chosen = random.Random(0).sample(range(len(rows)), min(sample, len(rows)))
        texts += [(row["text"], row["lang"]) for row in rows.select(chosen)]
    return texts


def language_accuracy(texts: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Share of texts whose language is found: by the prior of the service, and by the most probable candidate alone."""
    by_prior = [identify(text)[0] == language for text, language in texts]
    plain = [max(p := ranked(text), key=p.__getitem__) == language for text, language in texts]
    assert all(language in SUPPORTED for _, language in texts)
    return {"texts": len(texts), "with_prior": sum(by_prior) / len(texts), "without": sum(plain) / len(texts)}


def vocabulary_share(source: str, trimmed: Tokenizer, texts: Sequence[str]) -> dict[str, float]:
    """What trimming changed: share of texts and of pieces that tokenise as with the whole vocabulary of `source`."""
    _, whole = load_base(source)
    kept = trimmed.get_vocab()
    pieces = [token for encoding in whole.encode_batch(list(texts)) for token in encoding.tokens]
    return {
        "pieces_before": whole.get_vocab_size(),
        "pieces_after": trimmed.get_vocab_size(),
        "texts": len(texts),
        "identical_texts": same_tokenisation(whole, trimmed, list(texts)),
        "kept_pieces": sum(token in kept for token in pieces) / len(pieces),
    }
