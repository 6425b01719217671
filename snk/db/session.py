"""The settings that SNK pins in each of its sessions, whatever the role, the database or the server prefers.

A role may have its own value for every setting, and many of them change what a statement does or how a value is
written and read. `tests/pair/sync/test_role_settings.py` gives SNK's role a hostile value for each setting that the
server knows, and sees every type cross unchanged.
"""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db import catalog
from snk.db.functions import setting

ON, OFF, NEVER = "on", "off", "0"

# Values travel as text where they have no plain type of their own, so both servers must write and read that text
# alike, and without loss.
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
    "exit_on_error": OFF,  # a row that is refused must not end the session
    "transform_null_equals": OFF,
}

# SNK has deadlines of its own for all it does (`snk.db.server`), and its sessions wait between statements.
TIMEOUTS = {
    "lock_timeout": NEVER,
    "idle_session_timeout": NEVER,  # from PostgreSQL 14
    "transaction_timeout": NEVER,  # from PostgreSQL 17
    # A daemon that was paused in the middle of a transaction must not keep its locks from the one that takes over.
    "idle_in_transaction_session_timeout": "5s",
    # Should SNK vanish without a word, the server is to notice, and give back the locks of what was under way.
    "tcp_keepalives_count": "3",
    "tcp_keepalives_idle": "20",
    "tcp_keepalives_interval": "10",
    "tcp_user_timeout": NEVER,
}

SPEED = {
    "client_min_messages": "warning",
    "jit": OFF,
    # Rows of SNK's own need not wait for the disk: a crash takes back rows and mark together.
    "synchronous_commit": OFF,
    # A batch of wide rows is sorted in memory, and not on disk.
    "work_mem": "64MB",
}

PINNED = {**FORM, **STATEMENTS, **TIMEOUTS, **SPEED}

READ_ONLY = "default_transaction_read_only"
_OF_THE_ROLE = ("user", "database user")


async def pin(connection: AsyncConnection, statement_seconds: float | None) -> int:
    """Pin the settings of a new session. It is a statement, for poolers refuse settings at the start of a connection.

    Args:
        connection: in autocommit.
        statement_seconds: how long a statement may take in the server; None for ever.

    Returns:
        The number of the backend.
    """
    limit = str(int((statement_seconds or 0) * 1000))
    settings = {**PINNED, "statement_timeout": limit}
    read_only = sa.func.current_setting(READ_ONLY)
    asked = sa.select(sa.func.pg_backend_pid(), read_only, *(_set(name, value) for name, value in settings.items()))
    pid, prefers_reading, *_ = (await connection.execute(asked)).one()
    if prefers_reading == ON and await catalog.source_of(connection, READ_ONLY) in _OF_THE_ROLE:
        # A preference of this role. Set for the database or the server it is a mode of operation, and SNK heeds it.
        await connection.execute(sa.select(setting(READ_ONLY, OFF)))
    return int(pid)


def _set(name: str, value: str) -> sa.ColumnElement[str]:
    """Set it for the session, if this server knows it."""
    known = sa.func.current_setting(name, True).is_not(None)  # noqa: FBT003
    return sa.case((known, setting(name, value)))
