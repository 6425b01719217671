"""The settings that SNK pins in each of its sessions, whatever the defaults of the role, the database or the server.

A role may have its own value for every setting, and many settings change what a statement does or how a value is
written and read. `tests/pair/sync/test_role_settings.py` gives SNK's role a hostile value for each setting that the
server knows, and checks that every type arrives unchanged.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db import catalog
from snk.db.functions import setting

ON, OFF, NEVER = "on", "off", "0"

# Values without a plain type are transferred as text, so both servers must write and read that text identically and
# without loss.
FORM = {
    "array_nulls": ON,
    "bytea_output": "hex",
    "datestyle": "ISO, YMD",
    "extra_float_digits": "3",
    "intervalstyle": "postgres",
    "lc_monetary": "C",
    "quote_all_identifiers": OFF,  # it changes how type names are written
    "standard_conforming_strings": ON,
    "timezone": "UTC",
    "xmloption": "content",
}

STATEMENTS = {
    "default_transaction_deferrable": OFF,
    "default_transaction_isolation": "read committed",
    "exit_on_error": OFF,  # a refused row must not end the session
    "transform_null_equals": OFF,
}

# SNK has its own deadlines for everything it does (`snk.db.server`), and its sessions wait between statements.
TIMEOUTS = {
    "lock_timeout": NEVER,
    "idle_session_timeout": NEVER,  # from PostgreSQL 14
    "transaction_timeout": NEVER,  # from PostgreSQL 17
    # A daemon that is paused inside a transaction must not hold locks that block the daemon that takes over.
    "idle_in_transaction_session_timeout": "5s",
    # If SNK disappears silently, the server must notice and release the locks of the open transactions.
    "tcp_keepalives_count": "3",
    "tcp_keepalives_idle": "20",
    "tcp_keepalives_interval": "10",
    "tcp_user_timeout": NEVER,
}

SPEED = {
    "client_min_messages": "warning",
    "jit": OFF,
    # SNK's writes need not wait for the disk: a crash undoes the rows and the mark together.
    "synchronous_commit": OFF,
    # Sort a batch of wide rows in memory, not on disk.
    "work_mem": "64MB",
}

PINNED = {**FORM, **STATEMENTS, **TIMEOUTS, **SPEED}

READ_ONLY = "default_transaction_read_only"
_OF_THE_ROLE = ("user", "database user")


async def pin(
    connection: AsyncConnection, statement_seconds: float | None, others: Mapping[str, str] | None = None
) -> int:
    """Pin the settings of a new session, by a statement, because poolers reject settings at the start of a connection.

    Args:
        connection: a connection in autocommit mode.
        statement_seconds: the server's time limit for a statement; None for no limit.
        others: settings that are different for this session.

    Returns:
        The process id of the backend.
    """
    limit = str(int((statement_seconds or 0) * 1000))
    settings = {**PINNED, "statement_timeout": limit, **(others or {})}
    pid, prefers_reading, *_ = (await connection.execute(_asked(tuple(settings.items())))).one()
    if prefers_reading == ON and await catalog.source_of(connection, READ_ONLY) in _OF_THE_ROLE:
        # The role's own value is a preference, which SNK overrides. A value of the database or the server is a mode of
        # operation, which SNK respects.
        await connection.execute(sa.select(setting(READ_ONLY, OFF)))
    return int(pid)


@cache
def _asked(settings: tuple[tuple[str, str], ...]) -> sa.Select[Any]:
    """Set them all; built once, which takes as long as the rest of connecting."""
    read_only = sa.func.current_setting(READ_ONLY)
    return sa.select(sa.func.pg_backend_pid(), read_only, *(_set(name, value) for name, value in settings))


def _set(name: str, value: str) -> sa.ColumnElement[str]:
    """Set a parameter for the session, if this server knows it."""
    known = sa.func.current_setting(name, True).is_not(None)  # noqa: FBT003
    return sa.case((known, setting(name, value)))
