from training.records import Record
from training.surveys import language_accuracy, language_texts


def record(text: str, lang: str) -> Record:
    return Record("1", text, lang, "test", "dev", frozenset(), frozenset())


def test_the_prior_helps_a_word_or_two() -> None:
    records = [record("Awful", "en"), record("Excelente", "es"), record("The parcel came a week late.", "en"), record("Me gustó", "es")]
    accuracy = language_accuracy(language_texts(records, None))
    assert accuracy["texts"] == 4
    assert accuracy["with_prior"] == 1.0
    assert accuracy["without"] < accuracy["with_prior"]


def test_a_wrong_label_costs() -> None:
    assert language_accuracy([("The parcel came a week late.", "es")])["with_prior"] == 0.0
