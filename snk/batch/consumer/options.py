"""The options of ``http_table``: into which table records are loaded, and which ones are valid. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from snk.batch.consumer.failing import FileFailed
from snk.core.names import split_name
from snk.settings import SettingsTable

Scalar = bool | int | Decimal | str
_PLACE = re.compile(r"\{payload\.([\w.-]+)\}")


class Rule(SettingsTable):
    """Which values of a column are valid.

    Attributes:
        type: a type of PostgreSQL; empty for that of the target's column, for which a value has to be valid anyway.
        required: whether it may not be null; so it is for the key, and for columns that are NOT NULL.
        min: the least value, by the order of the type.
        max: the greatest one.
        pattern: a regular expression of PostgreSQL that has to match somewhere.
        one_of: all values that are valid.
    """

    type: str = ""
    required: bool = False
    min: Scalar | None = None
    max: Scalar | None = None
    pattern: str = ""
    one_of: tuple[Scalar, ...] = ()


def _rules(given: Any) -> Any:
    """Rules by column; also of a list of names, and of names with only a type."""
    if isinstance(given, list | tuple):
        return {name: {} for name in given}
    if isinstance(given, dict):
        return {name: {"type": rule} if isinstance(rule, str) else rule for name, rule in given.items()}
    return given


def _names(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


class Options(SettingsTable):
    """The options of a file.

    Attributes:
        target: a table of the consumer's database.
        key: the columns of a unique index of it, by which records are merged.
        columns: those that are loaded, with what is valid in each.
        start: records from this time on, if the dataset has a time; ``{payload.NAME}`` stands for a member of the
            trigger's payload.
        end: records before this time.
        hours: instead of ``end``: how long after ``start`` that is.
        page_rows: how many records are asked for at once; 0 for what the consumer's settings say.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    target: str
    key: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(min_length=1)
    columns: Annotated[dict[str, Rule], BeforeValidator(_rules)] = Field(min_length=1)
    start: str = Field("", alias="from")
    end: str = Field("", alias="to")
    hours: float = Field(0.0, ge=0, le=24 * 366)
    page_rows: int = Field(0, ge=0, le=1_000_000)

    @field_validator("target")
    @classmethod
    def _one_table(cls, given: str) -> str:
        split_name(given)
        return given

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if missing := [name for name in self.key if name not in self.columns]:
            raise ValueError(f"key has {missing[0]!r}, which is not in columns")
        if bool(self.start) != bool(self.end or self.hours) or (self.end and self.hours):
            raise ValueError("give from with either to or hours, or none of them")
        return self


class Span(SettingsTable):
    """From when to when, half-open, in UTC."""

    start: datetime
    end: datetime

    @property
    def query(self) -> dict[str, str]:
        """As a provider is asked for it."""
        return {
            name: at.replace(tzinfo=None).isoformat() + "Z" for name, at in (("from", self.start), ("to", self.end))
        }


def options_of(given: Mapping[str, Any]) -> Options:
    """The options.

    Raises:
        FileFailed: what is wrong with them.
    """
    try:
        return Options.model_validate(given)
    except ValidationError as error:
        raise FileFailed("; ".join(_fault(each) for each in error.errors(include_url=False))) from None


def _fault(each: Mapping[str, Any]) -> str:
    place = ".".join(("options", *map(str, each["loc"])))
    if each["type"] == "missing":
        return f"{place} is missing"
    if each["type"] == "extra_forbidden":
        there = Rule.model_fields if "columns" in each["loc"] else Options.model_fields
        names = (field.alias or name for name, field in there.items())
        return f"there is no {place}; there are {', '.join(names)}"
    return f"{place} is {each['input']!r}: {each['msg'].removeprefix('Value error, ')}"


def span_of(options: Options, payload: Mapping[str, Any]) -> Span | None:
    """The time of the records that are loaded; None if all are.

    Raises:
        FileFailed: a time is none, or the payload lacks what it is made of.
    """
    if not options.start:
        return None
    start = _time("from", options.start, payload)
    end = _time("to", options.end, payload) if options.end else start + timedelta(hours=options.hours)
    if start > end:
        raise FileFailed(f"options.to is {end.isoformat()}, before options.from, {start.isoformat()}")
    return Span(start=start, end=end)


def _time(name: str, text: str, payload: Mapping[str, Any]) -> datetime:
    filled = _PLACE.sub(lambda found: _looked_up(name, payload, found[1]), text)
    try:
        at = datetime.fromisoformat(filled)
    except ValueError:
        raise FileFailed(f"options.{name} is {filled!r}", hint="Write a time such as 2026-11-25T00:00:00Z") from None
    if at.tzinfo is None:
        raise FileFailed(f"options.{name} is {filled!r}, without an offset", hint="Add Z, which is UTC")
    return at.astimezone(UTC)


def _looked_up(name: str, payload: Mapping[str, Any], path: str) -> str:
    found: Any = payload
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if not isinstance(found, str | int):
        hint = f"Trigger the task with it, such as --payload '{{\"{path}\": …}}'"
        raise FileFailed(f"options.{name} needs payload.{path}, which is {found!r}", hint=hint)
    return str(found)
