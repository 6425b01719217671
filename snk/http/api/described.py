"""How OpenAPI describes what services have in common: problems, keys, and objects without other members."""

from typing import Any

from snk.http.api.idempotency import KEY_CHARACTERS, NAME
from snk.http.api.problem import MEDIA_TYPE

Json = dict[str, Any]
TEXT: Json = {"type": "string"}
COUNT: Json = {"type": "integer", "minimum": 0}
KEY_HEADER: Json = {
    "name": NAME,
    "in": "header",
    "required": True,
    "description": "Identifies this request: send it again with the same key, and it counts once.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": KEY_CHARACTERS,
        "pattern": "^[!#-~]([ -~]*[!-~])?$",
    },
}
_WORDS = {
    400: "malformed",
    401: "unknown client",
    403: "missing scope",
    404: "not found",
    409: "conflict, or the same key is in use",
    413: "body too long",
    415: "wrong type of body",
    422: "refused: a parameter, or the body",
    429: "too many requests",
    431: "headers too long",
    503: "overloaded, or the database does not answer",
}
_PROBLEM: Json = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {"type": TEXT, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT},
}
ALWAYS = (400, 401, 403, 422, 429, 431, 503)


def problems(*statuses: int) -> dict[int | str, Json]:
    """The answers that are problems."""
    content = {MEDIA_TYPE: {"schema": _PROBLEM}}
    return {each: {"description": _WORDS[each], "content": content} for each in sorted({*ALWAYS, *statuses})}


def answered(status: int, words: str, schema: Json, media_type: str = "application/json") -> dict[int | str, Json]:
    """An answer that is none."""
    return {status: {"description": words, "content": {media_type: {"schema": schema}}}}


def closed(properties: Json, optional: tuple[str, ...] = ()) -> Json:
    """An object with these properties and no others."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
