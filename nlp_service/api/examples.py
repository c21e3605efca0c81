"""Examples of the API description. The tests post every request and check every response against its model."""

from typing import Any

_MODEL = {"name": "feedback-es-en", "version": "1", "taxonomy": 1}

_LATE: dict[str, Any] = {"start": 0, "end": 33, "text": "La entrega llegó tres días tarde,"}
_KIND: dict[str, Any] = {"start": 34, "end": 77, "text": "pero el chico de la tienda se portó genial."}
_FRUSTRATION = {"label": "frustration", "probability": 0.93, "decision": "auto", "cluster": "destroying"}
_SATISFACTION = {"label": "satisfaction", "probability": 0.88, "decision": "suggest", "cluster": "advocacy"}
_DELIVERY = {"label": "delivery", "probability": 0.98, "decision": "auto", "stage": "delivery"}
_STAFF = {"label": "staff", "probability": 0.96, "decision": "auto", "stage": "purchase"}

_ONE_SPANISH: dict[str, Any] = {
    "id": "t-1",
    "status": "ok",
    "language": "es",
    "sentiment": {
        "label": "mixed",
        "score": -0.06,
        "probabilities": {"negative": 0.14, "neutral": 0.02, "positive": 0.08, "mixed": 0.76},
    },
    "emotions": [_FRUSTRATION, _SATISFACTION],
    "touchpoints": [_DELIVERY, _STAFF],
    "signals": [],
    "segments": [
        {**_LATE, "language": "es", "emotions": [_FRUSTRATION], "touchpoints": [_DELIVERY]},
        {**_KIND, "language": "es", "emotions": [_SATISFACTION], "touchpoints": [_STAFF]},
    ],
    "pairs": [
        {"touchpoint": "delivery", "emotion": "frustration", "probability": 0.91, "evidence": [_LATE]},
        {"touchpoint": "staff", "emotion": "satisfaction", "probability": 0.85, "evidence": [_KIND]},
    ],
    "model": _MODEL,
}

_CHARGED: dict[str, Any] = {"start": 0, "end": 39, "text": "I was charged twice and nobody answers."}
_ANGER = {"label": "anger", "probability": 0.84, "decision": "suggest", "cluster": "destroying"}
_BILLING = {"label": "billing", "probability": 0.97, "decision": "auto", "stage": "service"}

_ONE_ENGLISH: dict[str, Any] = {
    "id": "t-2",
    "status": "ok",
    "language": "en",
    "sentiment": {
        "label": "negative",
        "score": -0.96,
        "probabilities": {"negative": 0.97, "neutral": 0.01, "positive": 0.01, "mixed": 0.01},
    },
    "emotions": [_ANGER],
    "touchpoints": [_BILLING],
    "signals": [{"label": "urgency", "probability": 0.79, "decision": "suggest"}],
    "segments": [
        {**_CHARGED, "language": "en", "emotions": [_ANGER], "touchpoints": [_BILLING]},
        {
            "start": 40,
            "end": 67,
            "text": "I want my money back today.",
            "language": "en",
            "emotions": [],
            "touchpoints": [],
        },
    ],
    "pairs": [{"touchpoint": "billing", "emotion": "anger", "probability": 0.82, "evidence": [_CHARGED]}],
    "model": _MODEL,
}

_UNSUPPORTED: dict[str, Any] = {
    "id": None,
    "status": "language_unsupported",
    "language": "other",
    "sentiment": None,
    "emotions": [],
    "touchpoints": [],
    "signals": [],
    "segments": [],
    "pairs": [],
    "model": _MODEL,
}

_SPANISH_TEXT = "La entrega llegó tres días tarde, pero el chico de la tienda se portó genial."
_ENGLISH_TEXT = "I was charged twice and nobody answers. I want my money back today."

REQUESTS: dict[str, Any] = {
    "one-es": {"summary": "One text, in Spanish", "value": {"id": "t-1", "text": _SPANISH_TEXT}},
    "one-en": {"summary": "One text, in English", "value": {"id": "t-2", "text": _ENGLISH_TEXT}},
    "one-scores": {
        "summary": "One text, with the probability of every label",
        "value": {"text": "No sé si fiarme: la web dice una cosa y la tienda otra.", "scores": True},
    },
    "many": {
        "summary": "Several texts",
        "value": {
            "items": [
                {"id": "t-1", "text": _SPANISH_TEXT},
                {"id": "t-2", "text": _ENGLISH_TEXT},
                {"text": "Die Lieferung kam leider viel zu spät bei uns an."},
            ]
        },
    },
}
"""Bodies of POST /v1/analyze, as OpenAPI example objects."""

RESPONSES: dict[str, Any] = {
    "one-es": {"summary": "One text, in Spanish", "value": _ONE_SPANISH},
    "one-en": {"summary": "One text, in English", "value": _ONE_ENGLISH},
    "many": {"summary": "Several texts; German is not read", "value": {"results": [_ONE_SPANISH, _ONE_ENGLISH, _UNSUPPORTED]}},
}
"""Their answers, as OpenAPI example objects."""
