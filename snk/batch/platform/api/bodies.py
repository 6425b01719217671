"""What clients send, as JSON."""

from typing import Annotated, Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, Field, ValidationError

from snk.batch.definition import MESSAGE, Name
from snk.batch.payload import Key, Payload
from snk.batch.wire import MOST_REASON
from snk.http.api.body import body_of
from snk.http.api.problem import Problem, invalid
from snk.settings import SettingsTable

T = TypeVar("T", bound=BaseModel)
Json = dict[str, Any]
Note = Annotated[str, Field(max_length=MOST_REASON, pattern=r"^[^\x00]*$")]
_PLAIN = {"extra_forbidden": "there is no such member", "model_type": "send a JSON object"}


class Sent(SettingsTable):
    """A message."""

    message: str = Field(pattern=MESSAGE)
    payload: Payload = Field(default_factory=dict)


class Start(SettingsTable):
    """A trigger of one task or group.

    Attributes:
        key: the same key starts one run, ever; without one, each request starts a run.
        files: which files are run; None for all.
    """

    key: Key | None = None
    payload: Payload = Field(default_factory=dict)
    files: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None


class Why(SettingsTable):
    """Why a person does something, for the audit."""

    reason: Annotated[Note, Field(min_length=1)]


class MaybeWhy(SettingsTable):
    """The same, where it may be left out."""

    reason: Note = ""


class Again(Why):
    """A rerun.

    Attributes:
        whole: whether all files are run, and not only those that failed.
    """

    whole: bool = False


class Noted(SettingsTable):
    """What a person does about an alert."""

    note: Annotated[Note, Field(min_length=1)]


class Range(SettingsTable):
    """A range of time.

    Attributes:
        start: the first moment.
        end: the first moment that does not count.
    """

    start: str = Field(alias="from")
    end: str = Field(alias="to")


async def read(request: Request, model: type[T]) -> T:
    """The body of a request.

    Raises:
        Problem: it is no JSON, or not what is expected here.
    """
    body = await body_of(request)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise Problem(400, "not-json", f"The body is not JSON: {first['ctx']['error']}") from None
        place = ".".join(str(part) for part in first["loc"])
        words = _PLAIN.get(first["type"], first["msg"].removeprefix("Value error, "))
        raise invalid(place, f"{place}: {words}" if place else words) from None


def described(model: type[BaseModel]) -> Json:
    """A body, for the description."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    return {"required": True, "content": {"application/json": {"schema": _inlined(schema, definitions)}}}


def _inlined(schema: Any, definitions: Json) -> Any:
    """A schema without references, which would be looked up in the whole description."""
    if isinstance(schema, list):
        return [_inlined(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(each, definitions) for name, each in schema.items()}
