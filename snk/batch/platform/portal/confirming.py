"""How a person is asked before anything is changed: what would happen, why, and a button that says it."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from snk.batch.faults import first_fault
from snk.batch.platform.api.bodies import Why
from snk.errors import SnkError, Stop
from snk.http.portal.page import Done, Form

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form.

    Attributes:
        name: in the form.
        label: what it asks for.
        kind: ``line``, ``text``, ``code``, ``check`` or ``hidden``.
        required: whether it may not be empty.
        value: what stands in it.
    """

    name: str
    label: str
    kind: str = "line"
    required: bool = False
    value: str = ""


REASON = Field("reason", "Reason, for the audit", "text", required=True)


@dataclass(frozen=True, slots=True)
class Asking:
    """A question to a person.

    Attributes:
        heading: what is asked.
        preview: what would happen, in sentences.
        button: the words on the button.
        back: the page that the person came from.
        fields: what they are asked for.
        refusal: why it cannot be done; empty if it can.
        listed: to what it would happen, if that is more than one thing.
        more: how many more there are.
        danger: whether it cannot be taken back.
        method: ``get`` if the answer leads to the next question, and changes nothing.
    """

    heading: str
    preview: Sequence[str]
    button: str
    back: str
    fields: Sequence[Field] = (REASON,)
    refusal: str = ""
    listed: Sequence[str] = ()
    more: int = 0
    danger: bool = False
    method: str = "post"


def given(model: type[M], values: object) -> M:
    """What a form says, checked as the API checks it.

    Raises:
        Stop: what is wrong with it.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        place, fault = first_fault(error)
        raise Stop(f"{place}: {fault.removeprefix('Value error, ')}" if place else fault) from None


def reason_of(form: Form) -> str:
    """The reason that a form gives.

    Raises:
        Stop: there is none, or it is too long.
    """
    return given(Why, {"reason": form.get("reason", "").strip()}).reason


async def tried(doing: Awaitable[str], to: str, back: str) -> Done:
    """What became of something that was asked for.

    Args:
        doing: does it, and returns the words that say it.
        to: the page that is shown next.
        back: the page that is shown if it failed.
    """
    try:
        return Done(await doing, to)
    except SnkError as error:
        return Done(str(error), back, ok=False)
