"""How OpenAPI describes the endpoints of a dataset: with the columns that its table really has."""

from typing import Any

from snk.http.api.problem import MEDIA_TYPE
from snk.serve.answer import JSON_LINES
from snk.serve.settings import END
from snk.serve.table import Dataset
from snk.serve.values import nullable

Json = dict[str, Any]
HEX = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
KEY_HEADER: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "Identifies this request of this client: send it again with the same key, and it is stored once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-~]([ -~]*[!-~])?$"},
}
_WORDS = {
    400: "malformed",
    401: "unknown client",
    403: "missing scope",
    404: "not found",
    409: "conflict, or the same key is in use",
    413: "body too long",
    415: "wrong type of body",
    422: "refused: a parameter, or a record",
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


def page(dataset: Dataset) -> Json:
    """A page."""
    record = closed({name: nullable(dataset.columns[name]) for name in dataset.read})
    return closed({"items": {"type": "array", "items": record}, "next": {"type": ["string", "null"]}})


def digest() -> Json:
    """Count and digest of a span."""
    return closed({"from": TEXT, "to": TEXT, "count": COUNT, "digest": HEX})


def frame() -> dict[int | str, Json]:
    """A frame: lines, which JSON Schema cannot describe as a whole."""
    words = f'a record in each line, and at the end {{"{END}": {{"from", "to", "count", "digest"}}}}'
    return {200: {"description": words, "content": {JSON_LINES: {"schema": TEXT}}}}


def unchanged() -> dict[int | str, Json]:
    """The answer to If-None-Match."""
    return {304: {"description": "the client has it already"}}


def body(dataset: Dataset, *, batch: bool) -> Json:
    """The body of a request."""
    schema = _record(dataset)
    if batch:
        schema = closed({"items": {"type": "array", "items": schema, "minItems": 1}})
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _record(dataset: Dataset) -> Json:
    names = [name for name in dataset.write if not dataset.columns[name].generated]
    optional = [name for name in names if not dataset.columns[name].not_null or dataset.columns[name].filled]
    made = closed({name: nullable(dataset.columns[name]) for name in names}, tuple(optional))
    return {**made, "minProperties": 1}
