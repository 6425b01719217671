"""Code that several commands share: loading the settings and building the pair from them."""

import asyncio
import sys
from typing import Any
from uuid import UUID

from snk.core.words import counted
from snk.db.server import Server
from snk.errors import SettingsError
from snk.pair.settings import Settings, load_settings
from snk.pair.sync.matching import fitting
from snk.pair.sync.pair import Pair
from snk.urls import check_files


def start() -> Settings:
    """Read the settings and set up the log."""
    from snk.log import configure_log  # noqa: PLC0415 - commands that log nothing start faster without it

    settings = checked_settings()
    configure_log(settings.snk_log_format, settings.snk_log_level)
    return settings


def checked_settings() -> Settings:
    """Return the settings after checking that the files they name exist."""
    settings = load_settings()
    for name, url in (
        ("FIRST_DB_URL", settings.first_dsn),
        ("SECOND_DB_URL", settings.second_dsn),
        ("REDIS_URL", settings.redis_dsn),
    ):
        check_files(name, url)
    return settings


def databases_of(settings: Settings) -> Pair:
    """The two databases and the tables that the settings name exactly, for what does not depend on patterns."""
    return Pair(Server("first", settings.first_dsn), Server("second", settings.second_dsn), settings.selection.exact)


def pair_of(settings: Settings) -> Pair:
    """The two databases and the tables that the settings select now; if they have patterns, both databases are asked.

    What only a pattern matches and cannot be synced is left out, as `snk run` does, and printed with the reason.

    Raises:
        SettingsError: no table is selected.
    """
    pair, selection = databases_of(settings), settings.selection
    if selection.plain:
        return pair
    import uvloop  # noqa: PLC0415 - with exact names only, nothing needs to be asked

    pair = uvloop.run(fitting(pair, selection))
    for table, reason in pair.left_out.items():
        print(f"left out: {table}: {reason}", file=sys.stderr)
    if not pair.tables:
        hint = "Create a table that it matches, on both sides, or fix SNK_TABLES"
        raise SettingsError(f"SNK_TABLES is {settings.snk_tables!r}: there is no such table", hint=hint)
    return pair


def waiting(table: str, rows: int, settle_seconds: float) -> str:
    """The message that explains why a comparison takes longer."""
    differ = f"{counted(rows, 'row')} {'differs' if rows == 1 else 'differ'}"
    return f"{table}: {differ}; waiting whether both sides become equal within {settle_seconds:g} s"


def uuid_of(text: str) -> str:
    """A uuid as PostgreSQL writes it.

    Raises:
        SettingsError: it is none.
    """
    try:
        return str(UUID(text))
    except ValueError:
        raise SettingsError(
            f"{text!r} is not a uuid", hint="Write it as 00000000-0000-0000-0000-000000000000"
        ) from None


def pass_over(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Ignore the error of an abandoned look-up of a host name: its caller has reported what is wrong."""
    if not isinstance(context.get("exception"), OSError):
        loop.default_exception_handler(context)
