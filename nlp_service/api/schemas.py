"""Requests and responses of the API that are not the pipeline's own (those are in core/schema.py)."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, RootModel, StrictBool, Tag, model_validator
from pydantic_core import PydanticCustomError

from nlp_service.api.limits import MAX_ID, MAX_ITEMS, MAX_TEXT
from nlp_service.core.decisions import Bands
from nlp_service.core.schema import Analysis, Feedback, Text

ONE, MANY = "one", "many"
"""Tags of the two forms of AnalyzeRequest, as they appear in the locations of validation errors."""


CustomerText = Annotated[Text, Field(max_length=MAX_TEXT, description="The customer's words. May be empty.")]
Id = Annotated[str | None, Field(max_length=MAX_ID, description="The caller's own id; handed back untouched.")]
Scores = Annotated[StrictBool, Field(description="Whether to add the probability of every label to each analysis.")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        # Pydantic's own error for an extra key names the key, and a key is input as much as a value is.
        if isinstance(data, dict) and not data.keys() <= cls.model_fields.keys():
            raise PydanticCustomError(
                "unknown_key", "Has an unknown key; the known ones are {known}", {"known": ", ".join(cls.model_fields)}
            )
        return data


class Item(_Request):
    """One text of several."""

    id: Id = None
    text: CustomerText


class OneText(Item):
    """One text; the answer is one Analysis."""

    scores: Scores = False


class ManyTexts(_Request):
    """Several texts; the answer has one Analysis for each, in the same order."""

    items: list[Item] = Field(min_length=1, max_length=MAX_ITEMS)
    scores: Scores = False


def _form(body: Any) -> str | None:
    if not isinstance(body, dict):
        return None
    return MANY if "items" in body else ONE


class AnalyzeRequest(
    RootModel[
        Annotated[
            Annotated[OneText, Tag(ONE)] | Annotated[ManyTexts, Tag(MANY)],
            Discriminator(_form, custom_error_type="form", custom_error_message="Must be an object with the key text or the key items"),
        ]
    ]
):
    """One text, or several under `items`."""

    def feedback(self) -> list[Feedback]:
        """The texts, in order."""
        items = [self.root] if isinstance(self.root, OneText) else self.root.items
        return [Feedback(id=item.id, text=item.text) for item in items]


class Analyses(BaseModel):
    """One analysis for each item, in the order of the request."""

    results: list[Analysis]


class ModelDescription(BaseModel):
    """The model that answers: what it is, where it runs and what its decisions measured.

    `thresholds` holds for each label the bands `suggest` and `auto` (null where no threshold kept the promised precision), with
    the precision, recall and support measured on held-back data. `created` and `metrics` come from the bundle's manifest, and are
    null for a model without one.
    """

    name: str
    version: str
    taxonomy: int = Field(description="Version of the taxonomy; see /v1/taxonomy.")
    languages: list[str]
    runtime: str = Field(description="Engine, device and precision.")
    created: str | None
    thresholds: dict[str, Bands]
    metrics: dict[str, Any] | None


class Health(BaseModel):
    """`live`: the process answers. `ready`: the model is loaded and has answered."""

    status: Literal["live", "ready"]


class FieldError(BaseModel):
    """One fault of the request body. `pointer` is a JSON pointer (RFC 6901) in fragment form; `#` is the body itself."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """Any error (RFC 9457). `type` ends in a stable code; no member ever repeats what the request said."""

    type: str
    title: str
    status: int
    detail: str | None = None
    errors: list[FieldError] | None = None
