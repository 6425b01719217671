"""Tasks and groups as a file of TOML describes them: ``[task.NAME]`` and ``[group.NAME]``.

The platform keeps them as rows; `snk batch apply` makes the rows what a file says, and `snk batch export` writes the
file. Secrets stand in neither: a consumer and the platform look up what ``env:NAME`` or ``file:PATH`` mean, each at
home.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from snk.batch.calendar import Calendar, zone_of
from snk.batch.options import EXECUTOR, OptionsWrong, check_options, options_of
from snk.errors import SettingsError
from snk.settings import SettingsTable, read_whole

NAME = r"^[a-z][a-z0-9_-]{0,62}$"
Name = Annotated[str, Field(pattern=NAME)]
MESSAGE = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,126}$"
"""The name of a message, such as ``prices.ready``."""
Overlap = Literal["skip", "queue", "cancel"]
Mode = Literal["SYNC", "ASYNC"]


class Triggered(SettingsTable):
    """What starts a task or a group; without a message or a calendar only a person does.

    Attributes:
        message: the name of a message that starts it.
        cron: a cron line; see `snk.batch.calendar`.
        zone: the time zone of that line.
        catch_up: so many of the newest ticks are made up for that were missed because no node ran, and so many wait
            behind a run that takes too long.
    """

    message: Annotated[str, Field(pattern=rf"{MESSAGE}|^$")] = ""
    cron: str = ""
    zone: str = "UTC"
    catch_up: int = Field(1, ge=1, le=1000)

    @property
    def calendar(self) -> Calendar | None:
        """When it starts by itself."""
        return Calendar(self.cron, self.zone) if self.cron else None

    @field_validator("cron")
    @classmethod
    def _check_cron(cls, given: str) -> str:
        if given:
            Calendar(given)
        return given

    @field_validator("zone")
    @classmethod
    def _check_zone(cls, given: str, info: ValidationInfo) -> str:
        if info.data.get("cron", "one that is wrong"):  # without a calendar nothing is asked of it
            zone_of(given)
        return given


class File(SettingsTable):
    """One file of a task, which a consumer loads and reconciles on its own.

    Attributes:
        executor: the name of an entry point of the group ``snk.batch.executors``.
        source: where the provider has it.
        auth: by which credentials of the consumer the provider is asked; empty for those of the task.
        options: what this executor wants to know; see its documentation.
    """

    executor: str = EXECUTOR
    source: str = ""
    auth: str = ""
    options: dict[str, Any] = Field(default_factory=dict)


class Task(Triggered):
    """One task: calls of a consumer until its work is complete.

    Attributes:
        consumers: addresses of instances of one consumer; the one with the fewest runs is called.
        interval_seconds: from the end of a call to the next one of the same run.
        deadline_minutes: after which a run is overdue; 0 is never.
        most_tries: so many calls in a row may fail before the run has failed.
        retry_first_ms: the delay after the first call that failed; it doubles with each.
        retry_most_ms: the longest delay.
        timeout_seconds: until a call must be answered.
        overlap: what a trigger does while a run is under way: ``skip`` itself, ``queue`` a run or ``cancel`` the other.
        auth: by which credentials of the platform consumers are called; empty for its own signed tokens.
        files: by their names.
    """

    consumers: tuple[str, ...] = Field(min_length=1)
    interval_seconds: float = Field(30.0, ge=0.1, le=86_400)
    deadline_minutes: float = Field(0.0, ge=0, le=60 * 24 * 366)
    most_tries: int = Field(20, ge=1, le=1_000_000)
    retry_first_ms: int = Field(500, ge=1)
    retry_most_ms: int = Field(30_000, ge=1)
    timeout_seconds: float = Field(30.0, gt=0, le=3600)
    overlap: Overlap = "queue"
    auth: str = ""
    files: dict[Name, File] = Field(default_factory=dict)

    @field_validator("consumers")
    @classmethod
    def _check_consumers(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for url in given:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"{url!r} is no address of a service; write http://HOST:PORT/PATH")
            if parts.username or parts.password:
                raise ValueError("an address holds no user or password; name credentials by auth")
        if len(set(given)) < len(given):
            raise ValueError("an address stands twice in it")
        return given


class Group(Triggered):
    """Tasks that are started together.

    Attributes:
        mode: ``SYNC`` runs them one after the other, and stops at one that does not complete; ``ASYNC`` side by side.
        tasks: their names, in order.
        overlap: as of a task.
    """

    mode: Mode = "SYNC"
    tasks: tuple[Name, ...] = Field(min_length=1)
    overlap: Overlap = "queue"

    @field_validator("tasks")
    @classmethod
    def _check_tasks(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(given)) < len(given):
            raise ValueError("a task stands twice in it")
        return given


class Definitions(SettingsTable):
    """All that a file describes."""

    task: dict[Name, Task] = Field(default_factory=dict)
    group: dict[Name, Group] = Field(default_factory=dict)

    def faults(self) -> Iterator[str]:
        """What is wrong with the whole, though each part is right."""
        for name in sorted(self.task.keys() & self.group.keys()):
            yield f"{name!r} is a task and a group; give them different names"
        for name, group in self.group.items():
            for missing in [task for task in group.tasks if task not in self.task]:
                yield f"group.{name}.tasks names {missing!r}, and there is no [task.{missing}]"


def checked(found: Definitions) -> Definitions:
    """Definitions that fit together.

    Raises:
        SettingsError: what does not.
    """
    if faults := list(found.faults()):
        raise SettingsError("; ".join(faults))
    return found


def read_definitions(path: Path) -> Definitions:
    """Read a file. What it names may also be defined elsewhere, so `checked` is asked about the whole.

    The options of files of ``http_table`` are checked here and not by the model, so that what an older version has
    stored can still be read; those of other executors are known to the consumer only.

    Raises:
        SettingsError: what is wrong in it, and what would be right.
    """
    found = read_whole(path, Definitions)
    if not found.task and not found.group:
        raise SettingsError(f"{path} describes no task", hint="Begin with a table [task.NAME]; see docs/batch.md")
    if faults := list(_faults_of_options(found)):
        raise SettingsError(f"{path}: " + "; ".join(faults))
    return found


def types_in(found: Definitions) -> Iterator[tuple[str, str]]:
    """The types that rules of columns name, each with its place."""
    for place, file in _files_of(found):
        for column, rule in options_of(file.options).columns.items():
            if rule.type:
                yield f"{place}.options.columns.{column}.type", rule.type


def _faults_of_options(found: Definitions) -> Iterator[str]:
    for place, file in _files_of(found):
        try:
            check_options(file.options)
        except OptionsWrong as error:
            hint = "" if file.options else f"; a file that is none of {EXECUTOR} names another executor"
            yield f"{place}: {error}{hint}"


def _files_of(found: Definitions) -> Iterator[tuple[str, File]]:
    """The files of ``http_table``, each with its place."""
    for task, each in found.task.items():
        for name, file in each.files.items():
            if file.executor == EXECUTOR:
                yield f"task.{task}.files.{name}", file
