"""What several commands need."""

import getpass
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
import uvloop
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.channel import wake
from snk.batch.platform.tables import TABLES
from snk.batch.settings import load_settings
from snk.db.server import Server

T = TypeVar("T")
Run = Annotated[int, typer.Argument(help="The number of the run.", min=1)]
Name = Annotated[str, typer.Argument(help="The name of a task or a group.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the audit.")]


def me() -> str:
    """Who calls the command, for the audit: the account and the machine."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def asked(config: Path | None, ask: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """What a function finds in the platform's tables, all of it at one moment."""
    server = Server("database", load_settings(config).dsn)

    async def work() -> T:
        async with server.snapshot() as connection:
            await TABLES.check(connection, server.address)
            return await ask(connection)

    return uvloop.run(work())


def done(config: Path | None, do: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """What a function does to the platform's tables, in one transaction; nodes look at once what follows from it."""
    server = Server("database", load_settings(config).dsn)

    async def work() -> T:
        async with server.begin() as connection:
            await TABLES.check(connection, server.address)
            found = await do(connection)
            await wake(connection)
            return found

    return uvloop.run(work())
