"""The endpoints."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request, Response

from nlp_service.api.examples import REQUESTS, RESPONSES
from nlp_service.api.problems import NotJsonError, log_unexpected, responses
from nlp_service.api.schemas import Analyses, AnalyzeRequest, Health, ModelDescription, OneText
from nlp_service.api.service import Service
from nlp_service.core.schema import Analysis, Feedback, ModelInfo
from nlp_service.core.taxonomy import Taxonomy
from nlp_service.pipeline import Outcome, Pipeline

TAGS: list[dict[str, Any]] = [
    {"name": "analysis", "description": "What customers say."},
    {"name": "model", "description": "Which labels there are, and how well the model tells them."},
    {"name": "health", "description": "For whoever operates the server."},
]

router = APIRouter()


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _pipeline(service: Annotated[Service, Depends(_service)]) -> Pipeline:
    return service.pipeline


def _json(request: Request) -> None:
    """Refuses other media types by name; they would otherwise be told that their body is no object."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise NotJsonError("Send the body with the header Content-Type: application/json.")


@router.post(
    "/v1/analyze",
    tags=["analysis"],
    summary="Analyze one text or several",
    dependencies=[Depends(_json)],
    response_model=Analysis | Analyses,
    responses={
        200: {"description": "One Analysis, or one for each item in order.", "content": {"application/json": {"examples": RESPONSES}}},
        **responses(400, 413, 415, 422, 429, 503),
    },
)
async def analyze(
    request: Request, body: Annotated[AnalyzeRequest, Body(openapi_examples=REQUESTS)], service: Annotated[Service, Depends(_service)]
) -> Response:
    """Emotions, touchpoints, sentiment and signals of customer feedback, with the clauses that show them.

    Send `{"text": …}` for one text, or `{"items": [{"text": …}, …]}` for up to 256; an `id` comes back untouched. Texts in other
    languages and texts without a letter are answered too, with a `status` that says so and no labels.
    """
    feedback, asked = body.feedback(), body.root

    def answer(outcomes: Sequence[Outcome]) -> bytes:
        if isinstance(asked, OneText) and isinstance(outcomes[0], Exception):
            raise outcomes[0]
        analyses = [_told(outcome, item, service.pipeline.info) for outcome, item in zip(outcomes, feedback, strict=True)]
        return (analyses[0] if isinstance(asked, OneText) else Analyses(results=analyses)).model_dump_json().encode()

    return Response(await service.analyze(request, feedback, scores=asked.scores, answer=answer), media_type="application/json")


def _told(outcome: Outcome, item: Feedback, model: ModelInfo) -> Analysis:
    """One text that breaks the model must not take the others' answers with it."""
    if isinstance(outcome, Analysis):
        return outcome
    log_unexpected(outcome)
    return Analysis(id=item.id, status="failed", language="unknown", sentiment=None, model=model)


@router.get("/v1/taxonomy", tags=["model"], summary="The labels", responses=responses(503))
async def taxonomy(pipeline: Annotated[Pipeline, Depends(_pipeline)]) -> Taxonomy:
    """Every label that the model can give, with its names in Spanish and English.

    Emotions have a cluster of value and a valence, touchpoints the stage of the journey and the kind of clue.
    """
    return pipeline.taxonomy


@router.get("/v1/model", tags=["model"], summary="The model", responses=responses(503))
async def model(pipeline: Annotated[Pipeline, Depends(_pipeline)]) -> ModelDescription:
    """Which model answers, where it runs, and what the decisions for each label measured."""
    info, manifest = pipeline.info, pipeline.manifest
    return ModelDescription(
        name=info.name,
        version=info.version,
        taxonomy=info.taxonomy,
        languages=list(pipeline.taxonomy.languages),
        runtime=pipeline.runtime.description,
        created=manifest.created if manifest else None,
        thresholds=pipeline.thresholds,
        metrics=manifest.metrics if manifest else None,
    )


@router.get("/health/live", tags=["health"], summary="Does the process answer?", responses=responses())
async def live() -> Health:
    """200 as long as the process answers."""
    return Health(status="live")


@router.get("/health/ready", tags=["health"], summary="Can it analyze?", dependencies=[Depends(_pipeline)], responses=responses(503))
async def ready() -> Health:
    """200 once the model is loaded and has answered a warm-up; 503 until then."""
    return Health(status="ready")
