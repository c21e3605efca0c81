"""Which column holds the text and which the id: as asked for, else where the names leave no doubt."""

import unicodedata
from collections.abc import Sequence

from nlp_service.archive.rows import Columns
from nlp_service.core.errors import InputError

# Normalised: no case, no accents, no separators.
_TEXT_NAMES = {
    "text", "texto", "textos", "review", "reviews", "reviewtext", "reviewbody", "resena", "resenas", "textoresena", "comment",
    "comments", "commenttext", "comentario", "comentarios", "textocomentario", "body", "message", "messages", "messagetext",
    "mensaje", "mensajes", "feedback", "feedbacktext", "verbatim", "verbatims", "opinion", "opiniones", "description", "descripcion",
    "content", "contenido", "customerfeedback", "customercomment", "customercomments",
}  # fmt: skip
# In order of preference.
_ID_NAMES = (
    "id", "ticketid", "idticket", "reviewid", "idresena", "feedbackid", "commentid", "idcomentario", "messageid", "idmensaje",
    "caseid", "idcaso", "conversationid", "responseid", "idrespuesta", "surveyid", "idencuesta", "uuid", "guid", "identificador",
    "identifier",
)  # fmt: skip


def choose(names: list[str], strings: Sequence[str], text: str | None, id: str | None) -> Columns:
    """The columns to read.

    `names` are all columns, `strings` those that hold strings; `text` and `id` are the ones asked for. Raises InputError, listing
    the columns, where one asked for is not there or the text column cannot be guessed.
    """
    for asked in (text, id):
        if asked is not None and asked not in names:
            raise InputError(f"there is no column {asked!r}; {_listing(names)}")
    id_column = id if id is not None else _guess_id(names, text)
    text_column = text if text is not None else _guess_text(names, [name for name in strings if name != id_column])
    for column in [text_column] + ([id_column] if id_column is not None else []):
        if names.count(column) > 1:
            raise InputError(f"there are {names.count(column)} columns named {column!r}; which one is meant cannot be known")
    return Columns(text_column, id_column)


def _guess_id(names: Sequence[str], text: str | None) -> str | None:
    plain = {_plain(name): name for name in reversed(names) if name != text}
    return next((plain[name] for name in _ID_NAMES if name in plain), None)


def _guess_text(names: Sequence[str], strings: Sequence[str]) -> str:
    likely = [name for name in strings if _plain(name) in _TEXT_NAMES]
    if len(likely) == 1:
        return likely[0]
    # A file of one column may lack its header: then the only name is what a customer wrote.
    if not likely and len(strings) == 1 and len(names) > 1:
        return strings[0]
    problem = f"several columns may hold the text ({_quoted(likely)})" if likely else "no column is plainly the text"
    raise InputError(f"{problem}; name it with --text-column; {_listing(names)}")


def _plain(name: str) -> str:
    """`name` without case, accents and separators: `Texto de la Reseña` -> `textodelaresena`."""
    return "".join(c for c in unicodedata.normalize("NFKD", name).casefold() if c.isalnum())


def _listing(names: Sequence[str]) -> str:
    return f"the columns are {_quoted(names)}" if names else "there are no columns"


def _quoted(names: Sequence[str]) -> str:
    # Cut short: in a file without a header these are a customer's words.
    shown = ", ".join(repr(name if len(name) <= 40 else f"{name[:39]}…") for name in names[:50])
    return f"{shown} and {len(names) - 50} more" if len(names) > 50 else shown
