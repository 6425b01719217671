"""The options of ``http_table``: into which table records are loaded, and which ones are valid. Pure.

`snk batch apply` and the consumer read them by the same functions, so a mistake is told before the first run, in the
words in which the run would fail.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from snk.core.names import split_name
from snk.errors import Stop
from snk.settings import SettingsTable

EXECUTOR = "http_table"
Scalar = bool | int | Decimal | str
_PLACE = re.compile(r"\{payload\.([\w.-]+)\}")


class OptionsWrong(Stop):
    """The options of a file, or the payload that they need, are not right; the message says what is."""


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
        OptionsWrong: what is wrong with them.
    """
    try:
        return Options.model_validate(given)
    except ValidationError as error:
        raise OptionsWrong("; ".join(_fault(each) for each in error.errors(include_url=False))) from None


def check_options(given: Mapping[str, Any]) -> Options:
    """The options, if all is right that can be seen without a payload and without the target.

    Raises:
        OptionsWrong: what is wrong with them.
    """
    options = options_of(given)
    for name, text in (("from", options.start), ("to", options.end)):
        if text and not _PLACE.search(text):
            _time(name, text, {})
    if not _PLACE.search(options.start + options.end):
        span_of(options, {})
    return options


def _fault(each: Mapping[str, Any]) -> str:
    place = ".".join(("options", *map(str, each["loc"])))
    if each["type"] == "missing":
        return f"{place} is missing"
    if each["type"] == "extra_forbidden":
        there = Rule.model_fields if "columns" in each["loc"] else Options.model_fields
        names = (field.alias or name for name, field in there.items())
        return f"there is no {place}; there are {', '.join(names)}"
    value = f" is {each['input']!r}" if each["loc"] else ""  # not all options, where only some do not fit
    return f"{place}{value}: {each['msg'].removeprefix('Value error, ')}"


def span_of(options: Options, payload: Mapping[str, Any]) -> Span | None:
    """The time of the records that are loaded; None if all are.

    Raises:
        OptionsWrong: a time is none, or the payload lacks what it is made of.
    """
    if not options.start:
        return None
    start = _time("from", options.start, payload)
    end = _time("to", options.end, payload) if options.end else _later(start, options.hours)
    if start > end:
        raise OptionsWrong(f"options.to is {end.isoformat()}, before options.from, {start.isoformat()}")
    return Span(start=start, end=end)


def _time(name: str, text: str, payload: Mapping[str, Any]) -> datetime:
    filled = _PLACE.sub(lambda found: _looked_up(name, payload, found[1]), text)
    hint = "Write a time such as 2026-11-25T00:00:00Z, or {payload.day}T00:00:00Z"
    try:
        at = datetime.fromisoformat(filled)
        if at.tzinfo is None:
            raise OptionsWrong(f"options.{name} is {filled!r}, without an offset", hint="Add Z, which is UTC")
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise OptionsWrong(f"options.{name} is {filled!r}", hint=hint) from None


def _later(start: datetime, hours: float) -> datetime:
    try:
        return start + timedelta(hours=hours)
    except OverflowError:
        raise OptionsWrong(f"options.hours is {hours}, which leads beyond the year 9999") from None


def _looked_up(name: str, payload: Mapping[str, Any], path: str) -> str:
    found: Any = payload
    hint = f"Trigger the task with it, such as --payload '{{\"{path}\": …}}'"
    for part in path.split("."):
        if not isinstance(found, Mapping) or part not in found:
            raise OptionsWrong(f"options.{name} needs payload.{path}, which the payload does not have", hint=hint)
        found = found[part]
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise OptionsWrong(
            f"options.{name} needs payload.{path}, which is {'null' if found is None else repr(found)}", hint=hint
        )
    return str(found)
