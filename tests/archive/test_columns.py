import pytest

from nlp_service.archive.columns import choose
from nlp_service.archive.rows import Columns
from nlp_service.core.errors import InputError


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["id", "text"], Columns("text", "id")),
        (["Ticket ID", "Fecha", "RESEÑA"], Columns("RESEÑA", "Ticket ID")),
        (["review_id", "reviewText", "stars"], Columns("reviewText", "review_id")),
        (["Descripción", "ciudad"], Columns("Descripción", None)),
        (["opinión", "ticket_id", "id"], Columns("opinión", "id")),
        (["id", "whatever"], Columns("whatever", "id")),
    ],
)
def test_guesses_where_the_names_leave_no_doubt(names: list[str], expected: Columns) -> None:
    assert choose(names, names, None, None) == expected


def test_the_only_string_column_is_the_text() -> None:
    assert choose(["stars", "said", "when"], ["said"], None, None) == Columns("said", None)


def test_a_likely_name_that_holds_no_strings_is_not_the_text() -> None:
    assert choose(["comment", "said"], ["said"], None, None) == Columns("said", None)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["whatever"], "no column is plainly the text"),  # a file without a header has a customer's words there
        (["a", "b"], "no column is plainly the text; name it with --text-column; the columns are 'a', 'b'"),
        (["text", "comment"], r"several columns may hold the text \('text', 'comment'\)"),
        ([], "there are no columns"),
    ],
)
def test_doubt_is_an_error_that_lists_the_columns(names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose(names, names, None, None)


def test_columns_asked_for_win_over_guesses() -> None:
    assert choose(["id", "text", "b", "key"], ["text", "b"], "b", "key") == Columns("b", "key")


@pytest.mark.parametrize(("text", "id"), [("nope", None), (None, "nope")])
def test_a_column_asked_for_must_be_there(text: str | None, id: str | None) -> None:
    with pytest.raises(InputError, match="there is no column 'nope'; the columns are 'id', 'text'"):
        choose(["id", "text"], ["text"], text, id)


def test_a_name_that_stands_twice_cannot_be_chosen() -> None:
    with pytest.raises(InputError, match="2 columns named 'a'"):
        choose(["a", "a", "id"], ["a", "a"], "a", None)


def test_the_column_of_the_text_is_not_guessed_as_the_id() -> None:
    assert choose(["id", "n"], ["id"], "id", None) == Columns("id", None)


def test_what_stands_where_a_header_should_be_is_not_quoted_at_length() -> None:
    with pytest.raises(InputError) as error:
        choose(["x" * 500, "b"], ["x" * 500, "b"], None, None)
    assert "x" * 41 not in str(error.value)
