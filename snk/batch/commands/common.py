"""What several commands need."""

import getpass
import os
import re
import shutil
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import uvloop
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.channel import wake
from snk.batch.platform.tables import TABLES
from snk.batch.schema import Schema
from snk.batch.settings import load_dsn
from snk.batch.wire import COUNTS
from snk.core.moments import lasted, stamp
from snk.db.server import Server

T = TypeVar("T")
Run = Annotated[int, typer.Argument(help="The number of the run.", min=1)]
Name = Annotated[str, typer.Argument(help="The name of a task or a group.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the audit.")]
PrintOnly = Annotated[bool, typer.Option("--print", help="Only print the SQL, to be run by hand.")]

MOST_BRIEF = 40
_DRAWN = re.compile(r"(.*/)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""A key that nobody chose, also of a task of a group."""


def make_tables(tables: Schema, dsn: Callable[[], str], *, print_only: bool) -> None:
    """Create tables, or bring them up to date, and tell what was done.

    Args:
        tables: of the platform, or of a consumer.
        dsn: reads the URL of the database from the settings, which are not needed to print.
        print_only: whether only the SQL is printed.
    """
    if print_only:
        print(tables.printed(), end="")
        return
    server = Server("database", dsn())
    changed = uvloop.run(tables.upgrade(server))
    print(f"{server.address}: {tables.name} is {'now' if changed else 'already'} of version {tables.newest}")


def counts_of(file: Mapping[str, Any]) -> str:
    """The numbers of a file that are known, for people."""
    return ", ".join(f"{name} {file[name]:,}" for name in COUNTS if file[name] is not None)


def run_words(number: int, run: Mapping[str, Any]) -> list[str]:
    """What a line about a run begins with: its number, state and task, when it came, how long it took, rejections."""
    words = [f"{number:>6}  {run['state']:<12} {run['task']}", stamp(run["created_at"])]
    if run["seconds"] is not None:
        words.append(f"in {lasted(run['seconds'])}")
    elif run["ended_at"]:
        words.append(f"ended {stamp(run['ended_at'])}")
    if run["rejected"]:
        words.append(f"{run['rejected']:,} rejected")
    return words


def brief(payload: str, key: str = "") -> list[str]:
    """What a run was asked for, shortly: how its payload begins, otherwise its key, unless that was drawn at random."""
    told = payload if payload != "{}" else "" if _DRAWN.fullmatch(key) else key
    return [told if len(told) <= MOST_BRIEF else f"{told[: MOST_BRIEF - 1]}…"] if told else []


def fitted(line: str) -> str:
    """A line, cut to the width of the terminal if it is printed on one."""
    width = shutil.get_terminal_size().columns
    return f"{line[: width - 1]}…" if sys.stdout.isatty() and len(line) > width else line


def me() -> str:
    """Who calls the command, for the audit: the account and the machine."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def asked(config: Path | None, ask: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """What a function finds in the platform's tables, all of it at one moment."""
    return asked_of(TABLES, load_dsn(config), ask)


def asked_of(tables: Schema, dsn: str, ask: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """What a function finds in the tables of the platform, or of a consumer, all of it at one moment."""
    server = Server("database", dsn)

    async def work() -> T:
        async with server.snapshot() as connection:
            await tables.check(connection, server.address)
            return await ask(connection)

    return uvloop.run(work())


def done(config: Path | None, do: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """What a function does to the platform's tables, in one transaction; nodes look at once what follows from it."""
    server = Server("database", load_dsn(config))

    async def work() -> T:
        async with server.begin() as connection:
            await TABLES.check(connection, server.address)
            found = await do(connection)
            await wake(connection)
            return found

    return uvloop.run(work())
