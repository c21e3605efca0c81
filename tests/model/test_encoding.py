import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_bundle import WORDS, tiny_tokenizer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from nlp_service.core.segments import segment
from nlp_service.core.text import has_letters, prepare
from nlp_service.model.encoding import EncodedWindow, Encoder
from nlp_service.model.runtime import batches, pad

TOKENIZER = tiny_tokenizer()
CLS_ID, SEP_ID = 0, 2
TEXT = st.lists(
    st.sampled_from([*WORDS, "pero", "but", ".", ";", "\n", "😀", "12,5", "supercalifragilistico", "ñ"]), min_size=1, max_size=80
)


def token_ids(text: str) -> list[int]:
    return TOKENIZER.encode(text, add_special_tokens=False).ids


def body(window: EncodedWindow) -> list[int]:
    return window.input_ids[1:-1]


def test_a_short_text_is_one_window_with_a_span_for_each_clause() -> None:
    text = "el pedido llegó tarde pero el agente fue amable"
    [window] = Encoder(TOKENIZER, 64).encode(text, [(0, 21), (22, 47)])
    assert window.input_ids == [CLS_ID, *token_ids(text), SEP_ID]
    assert window.spans[0] == (0, len(window.input_ids))
    assert window.segments == [0, 1]
    first, second = window.spans[1:]
    assert first == (1, 5)  # el pedido llegó tarde: four pieces after <s>
    assert second == (5, len(window.input_ids) - 1)


def test_tokens_outside_every_clause_ride_with_the_clause_before() -> None:
    text = "el pedido 12 13 llegó tarde"
    [window] = Encoder(TOKENIZER, 64).encode(text, [(0, 9), (16, 27)])
    numbers = len(token_ids("12 13"))
    assert window.spans[1:] == [(1, 3 + numbers), (3 + numbers, 5 + numbers)]


def test_tokens_before_the_first_clause_ride_with_it() -> None:
    text = "12 el pedido"
    [window] = Encoder(TOKENIZER, 64).encode(text, [(3, 12)])
    assert window.spans == [(0, len(window.input_ids)), (1, len(window.input_ids) - 1)]


def test_clauses_are_kept_whole_where_they_fit() -> None:
    clauses = ["el pedido llegó tarde", "el agente fue muy amable", "la factura no es correcta"]
    text, offsets, at = " ".join(clauses), [], 0
    for clause in clauses:
        offsets.append((at, at + len(clause)))
        at += len(clause) + 1
    windows = Encoder(TOKENIZER, 2 + 9).encode(text, offsets)
    assert [w.segments for w in windows] == [[0, 1], [2]]
    assert [len(w.input_ids) for w in windows] == [11, 7]
    assert [len(body(w)) for w in windows] == [9, 5]


def test_one_clause_longer_than_a_window_is_spread_over_several() -> None:
    text = "pedido " * 100 + "fin"
    windows = Encoder(TOKENIZER, 16).encode(text, [(0, len(text))])
    assert len(windows) == -(-len(token_ids(text)) // 14)
    assert all(w.segments == [0] for w in windows)
    assert [i for w in windows for i in body(w)] == token_ids(text)


def test_a_long_clause_between_short_ones() -> None:
    long = "pedido " * 20
    text = f"el agente {long}la web falla"
    offsets = [(0, 9), (10, 9 + len(long)), (10 + len(long), len(text))]
    windows = Encoder(TOKENIZER, 16).encode(text, offsets)
    assert [w.segments for w in windows] == [[0], [1], [1, 2]]
    assert windows[2].spans[1:] == [(1, 7), (7, 10)]


@given(TEXT, st.integers(16, 40), st.sampled_from([" ", ""]))
def test_every_token_is_in_exactly_one_window_and_clause(words: list[str], max_tokens: int, joint: str) -> None:
    text = prepare(joint.join(words))
    segments = segment(text, "es")
    windows = Encoder(TOKENIZER, max_tokens).encode(text, segments)
    if not has_letters(text):
        return
    assert [i for w in windows for i in body(w)] == token_ids(text)
    assert sum(len(body(w)) for w in windows) == len(token_ids(text))
    order = [i for w in windows for i in w.segments]
    assert order == sorted(order)
    assert set(order) == set(range(len(segments)))
    for window in windows:
        assert len(window.input_ids) <= max_tokens
        assert (window.input_ids[0], window.input_ids[-1]) == (CLS_ID, SEP_ID)
        assert window.spans[0] == (0, len(window.input_ids))
        assert len(window.spans) == len(window.segments) + 1
        assert len(set(window.segments)) == len(window.segments)
        ends = [1, *(end for _, end in window.spans[1:])]
        assert [start for start, _ in window.spans[1:]] == ends[:-1]
        assert ends[-1] == len(window.input_ids) - 1
        assert all(start < end for start, end in window.spans)


@given(TEXT)
def test_a_clauses_tokens_spell_the_clause(words: list[str]) -> None:
    text = " ".join(words)
    segments = segment(text, "es")
    windows = Encoder(TOKENIZER, 4096).encode(text, segments)
    encoding = TOKENIZER.encode(text, add_special_tokens=False)
    for window in windows:
        for index, (start, end) in zip(window.segments, window.spans[1:], strict=True):
            a, b = segments[index]
            covered = {k for i in range(start - 1, end - 1) for k in range(*encoding.offsets[i]) if not text[k].isspace()}
            assert {k for k in range(a, b) if not text[k].isspace()} <= covered


def test_special_tokens_that_a_customer_types_are_no_special_tokens() -> None:
    typed, plain = "el <s>pedido</s> tarde", "el    pedido     tarde"
    [window] = Encoder(TOKENIZER, 64).encode(typed, [(0, len(typed))])
    assert body(window) == token_ids(plain)


def test_no_clauses_no_windows() -> None:
    assert Encoder(TOKENIZER, 16).encode("", []) == []


def test_a_tokenizer_without_special_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="</s>"):
        Encoder(Tokenizer(WordLevel({"<s>": 0, "a": 1, "<unk>": 2}, unk_token="<unk>")), 16)


def window(length: int, spans: int = 1) -> EncodedWindow:
    return EncodedWindow([7] * length, [(0, length)] * spans, list(range(spans - 1)))


@given(st.lists(st.integers(3, 60), max_size=30), st.integers(16, 200))
def test_batches_hold_every_window_once_within_the_budget(lengths: list[int], budget: int) -> None:
    windows = [window(n) for n in lengths]
    found = list(batches(windows, budget))
    assert sorted(i for batch in found for i in batch) == list(range(len(windows)))
    for batch in found:
        padded = -(-max(lengths[i] for i in batch) // 8) * 8
        assert len(batch) == 1 or padded * len(batch) <= budget


def test_padding_is_marked() -> None:
    ids, mask, spans = pad([window(5, 2), EncodedWindow([3, 4, 5], [(0, 3), (1, 2)], [0])], pad_id=1)
    assert ids.tolist()[1] == [3, 4, 5, 1, 1, 1, 1, 1]
    assert mask.tolist() == [[1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0]]
    assert spans.shape == (2, 4, 8)
    assert spans[1].tolist() == [[1, 1, 1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0], [0] * 8, [0] * 8]
