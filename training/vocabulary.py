"""Trims a multilingual unigram vocabulary to the pieces that Spanish and English texts need."""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedModel

from training.recipe import Trim

_SPACE = "▁"
_EMOJI = ((0x1F300, 0x1FAFF), (0x2600, 0x27BF), (0x2190, 0x21FF), (0x2B00, 0x2BFF), (0x1F1E6, 0x1F1FF))


def wordlist_texts(languages: Iterable[str], words_per_language: int) -> Iterator[str]:
    """The commonest words of each language (wordfreq) as people write them: plain, capitalised, shouted and without accents."""
    from wordfreq import top_n_list  # a large package that only this step needs

    for language in languages:
        for word in top_n_list(language, words_per_language):
            bare = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
            yield from {form for w in (word, bare) for form in (w, w.capitalize(), w.upper())}


def used_pieces(tokenizer: Tokenizer, texts: Iterable[str], min_count: int = 1, batch: int = 4096) -> set[int]:
    """Ids of the pieces that occur in at least `min_count` of `texts`."""
    counts: Counter[int] = Counter()
    remaining = iter(texts)
    while chunk := list(islice(remaining, batch)):
        for encoding in tokenizer.encode_batch_fast(chunk, add_special_tokens=False):
            counts.update(set(encoding.ids))
    return {piece for piece, count in counts.items() if count >= min_count}


def _kept_by_kind(piece: str) -> bool:
    """What no word list is sure to hold: single characters of Latin scripts, digits, punctuation, symbols, emoji, and short pieces
    without a letter (amounts, dates, punctuation in a row).
    """
    piece = piece.removeprefix(_SPACE)
    if len(piece) != 1:
        return len(piece) <= 3 and all(not c.isalpha() and (ord(c) < 0x250 or 0x2010 <= ord(c) < 0x2040 or c in "€₹") for c in piece)
    code = ord(piece)
    if any(first <= code <= last for first, last in _EMOJI):
        return True
    category = unicodedata.category(piece)
    return code < 0x250 or (category[0] in "PS" and code < 0x2BFF)


def trim(model: PreTrainedModel, tokenizer: Tokenizer, config: Trim, words: Iterable[str], texts: Iterable[str]) -> Tokenizer:
    """Cuts `model`'s word embeddings (in place) to the pieces of `words`, those of enough `texts` and the kinds always kept.

    Returns the new tokenizer.

    The pieces keep their scores and their order, so a text whose best pieces are all kept tokenises as before.
    Raises ValueError for a tokenizer that is not a unigram model.
    """
    spec = json.loads(tokenizer.to_str())
    if spec["model"]["type"] != "Unigram":
        raise ValueError(f"only unigram vocabularies can be trimmed, not {spec['model']['type']}")
    vocab = spec["model"]["vocab"]
    special = {token["id"] for token in spec["added_tokens"]} | {spec["model"]["unk_id"]}
    kinds = {i for i, (piece, _) in enumerate(vocab) if _kept_by_kind(piece)}
    keep = sorted(special | kinds | used_pieces(tokenizer, words) | used_pieces(tokenizer, texts, config.min_count))
    new_id = {old: new for new, old in enumerate(keep)}

    spec["model"]["vocab"] = [vocab[old] for old in keep]
    spec["model"]["unk_id"] = new_id[spec["model"]["unk_id"]]
    for token in spec["added_tokens"]:
        token["id"] = new_id[token["id"]]
    for token in spec["post_processor"].get("special_tokens", {}).values():
        token["ids"] = [new_id[i] for i in token["ids"]]

    old_table = model.get_input_embeddings().weight.data
    # The table may be padded past the tokenizer's pieces or, as in the offline copy, lack the mask token: keep what exists.
    rows = torch.stack([old_table[i] if i < len(old_table) else old_table.mean(0) for i in keep])
    pad = _spec_id(spec, "<pad>")
    model.set_input_embeddings(nn.Embedding.from_pretrained(rows, freeze=False, padding_idx=pad))  # type: ignore[no-untyped-call]
    model.config.vocab_size, model.config.pad_token_id = len(keep), pad
    return Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))


def _spec_id(spec: dict[str, Any], token: str) -> int:
    """Id of a special token in a tokenizer's JSON."""
    return next(int(t["id"]) for t in spec["added_tokens"] if t["content"] == token)


def same_tokenisation(old: Tokenizer, new: Tokenizer, texts: list[str]) -> float:
    """Share of `texts` whose pieces are identical under both tokenizers."""
    pairs = zip(old.encode_batch(texts), new.encode_batch(texts), strict=True)
    return sum(a.tokens == b.tokens for a, b in pairs) / len(texts)
