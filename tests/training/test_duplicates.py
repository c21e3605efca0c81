from nlp_service.core.taxonomy import Taxonomy
from training.duplicates import near_copies
from training.records import Record, Split


def record(id: str, text: str, split: Split = "train") -> Record:
    return Record(id, text, "es", "s", split, frozenset(), frozenset(Taxonomy.default().label_ids))


def test_near_copies_are_found_with_their_similarity_and_others_are_not() -> None:
    records = [
        record("a", "El cupón BIENVENIDO no se aplica con meses sin intereses"),
        record("b", "Habitación amplia y cama cómoda, volveremos"),
        record("c", "el cupon bienvenida no se aplica con meses sin intereses!", "dev"),
        record("d", "Habitación pequeña y ruidosa, no volveremos"),
        record("e", "xyz"),
    ]
    found = near_copies(records, 0.6)
    assert [(pair.first.id, pair.second.id, pair.crosses) for pair in found] == [("a", "c", True)]
    # 4-grams by hand: the two normalised texts have 43 each and differ in one letter, which four grams hold
    assert found[0].similarity == 39 / 47


def test_the_shortcut_misses_nothing() -> None:
    words = ["uno dos tres", "uno dos tres cuatro", "dos tres cuatro cinco", "seis siete ocho", "seis siete ocho nueve diez"]
    records = [record(str(i), text) for i, text in enumerate(words)]
    every = near_copies(records, 0.01)
    for least in (0.2, 0.4, 0.6, 0.8):
        assert near_copies(records, least) == [pair for pair in every if pair.similarity >= least]
