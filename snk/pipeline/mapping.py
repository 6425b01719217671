"""Turns a record of the source into one of the sink: for each field, a JMESPath or a constant, and perhaps a cast.

A record that does not fit is never sent in part, and never with a guess: its frame waits for a person.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import jmespath
import jmespath.exceptions
import simplejson

from snk.pipeline.framefile import Json
from snk.pipeline.times import as_utc

Cast = Literal["text", "int", "number", "bool", "time"]
Lookup = Callable[[Json], Json]
INAPPLICABLE = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What a lookup may raise: errors of JMESPath are ValueErrors, but its functions also let those of Python through."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Unfit(Exception):  # noqa: N818 - what it means is the caller's business
    """A record does not fit the mapping, or has no uid."""


class NoUids(Unfit):
    """No record of an answer has a uid, so it may be an error message in place of records."""


@dataclass(frozen=True, slots=True)
class Field:
    """Where one field of the target comes from.

    Attributes:
        path: JMESPath in the record of the source; None for a constant.
        constant: the value, if there is no path.
        cast: what the value is turned into; None leaves it as it is.
        optional: whether the value may be missing or null.
    """

    path: str | None
    constant: Json = None
    cast: Cast | None = None
    optional: bool = False


class Mapper:
    """The mapping of all fields; none at all leaves records as they are."""

    def __init__(self, fields: Mapping[str, Field]) -> None:
        self.fields = fields
        self._lookups = {name: compiled(field.path) for name, field in fields.items() if field.path is not None}

    def __bool__(self) -> bool:
        return bool(self.fields)

    def map(self, record: Json) -> Json:
        """The record as the sink gets it.

        Raises:
            Unfit: which field does not fit, and why.
        """
        if not self.fields:
            return record
        return {name: self._value(name, field, record) for name, field in self.fields.items()}

    def _value(self, name: str, field: Field, record: Json) -> Json:
        if field.path is None:
            return field.constant
        try:
            value = self._lookups[name](record)
        except INAPPLICABLE as error:
            raise Unfit(f"{name}: {field.path!r} cannot be applied: {error}") from None
        if value is None:
            if field.optional:
                return None
            raise Unfit(f"{name}: there is nothing at {field.path!r}")
        return value if field.cast is None else cast(name, value, field.cast)


def compiled(path: str) -> Lookup:
    """A function that looks up a JMESPath; the empty path is the value itself.

    Raises:
        ValueError: it is no JMESPath.
    """
    if not path:
        return lambda value: value
    try:
        parsed = jmespath.compile(path)
    except jmespath.exceptions.JMESPathError as error:
        raise ValueError(" ".join(str(error).split())) from None
    if parsed.parsed["type"] == "field":  # as nearly always; the general way takes ten times as long
        name = parsed.parsed["value"]
        return lambda value: value.get(name) if isinstance(value, dict) else None
    search: Lookup = parsed.search
    return search


def dumps(value: Json) -> bytes:
    """JSON in one line, with all digits of its numbers.

    Raises:
        ValueError: it is nested too deeply for Python.
    """
    try:
        text = simplejson.dumps(value, use_decimal=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return text.encode("utf-8", "backslashreplace")  # half of a pair of surrogates stays an escape of JSON


def cast(name: str, value: Json, to: Cast) -> Json:
    """A value turned into another type, if nothing of it is lost.

    Raises:
        Unfit: it cannot be turned into that.
    """
    try:
        return _CASTS[to](value)
    except (ValueError, TypeError, ArithmeticError, KeyError):
        shown = repr(value) if len(repr(value)) < 60 else repr(value)[:57] + "..."  # noqa: PLR2004 - one line
        raise Unfit(f"{name}: {shown} is no {to}") from None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal | float):
        return str(value)
    raise TypeError


def _number(value: Any) -> Decimal | int:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value.strip()):
            raise ValueError
        return Decimal(value.strip())
    if not isinstance(value, Decimal | float):
        raise TypeError
    number = Decimal(str(value))
    if not number.is_finite():
        raise ValueError
    return number


def _int(value: Any) -> int:
    number = _number(value)
    if isinstance(number, Decimal) and (number.adjusted() > 1000 or number != number.to_integral_value()):  # noqa: PLR2004 - digits
        raise ValueError
    return int(number)


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | str):
        return {"true": True, "false": False, "1": True, "0": False}[str(value).lower()]
    raise TypeError


_CASTS: dict[Cast, Callable[[Any], Json]] = {
    "text": _text,
    "int": _int,
    "number": _number,
    "bool": _bool,
    "time": as_utc,
}
