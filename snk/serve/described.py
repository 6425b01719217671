"""How OpenAPI describes the endpoints of a dataset: with the columns that its table really has."""

from snk.http.api.described import COUNT, TEXT, Json, closed
from snk.serve.answer import JSON_LINES
from snk.serve.settings import END
from snk.serve.table import Dataset
from snk.serve.values import nullable

HEX = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


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
