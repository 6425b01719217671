"""Errors of the server are classified by their code, and by whether a connection was refused."""

import pytest
from asyncpg.exceptions import PostgresError
from sqlalchemy.exc import DBAPIError

from snk.db.errors import from_server
from snk.errors import DatabaseUnfit, RowRefused, SnkError, TooLarge, TooSlow, Unavailable

AWAY = "server login has been failing, cached error: connect failed (server_login_retry)"


@pytest.mark.parametrize(
    ("state", "text", "connecting", "family", "hint"),
    [
        ("53200", "out of memory", False, TooLarge, ""),
        ("57014", "canceling statement due to statement timeout", False, TooSlow, ""),
        ("53300", "sorry, too many clients already", True, Unavailable, "when it can connect"),
        ("25006", "cannot execute INSERT in a read-only transaction", False, Unavailable, "read-only mode"),
        ("57P01", "terminating connection due to administrator command", False, Unavailable, ""),
        ("40P01", "deadlock detected", False, Unavailable, ""),
        ("26000", "prepared statement does not exist", False, DatabaseUnfit, "session mode"),
        ("42P05", "prepared statement already exists", False, DatabaseUnfit, "session mode"),
        ("28P01", "password authentication failed", True, DatabaseUnfit, "Check the user"),
        ("3D000", "database does not exist", True, DatabaseUnfit, "Create the database"),
        ("42501", "permission denied for table t", False, DatabaseUnfit, "snk init --role"),
        ("42P01", "relation does not exist", False, DatabaseUnfit, "snk doctor"),
        ("42704", 'unrecognized configuration parameter "sslmoode"', True, DatabaseUnfit, "Use the parameters"),
        ("42704", "type does not exist", False, DatabaseUnfit, "snk doctor"),
        # PgBouncer has one code for all that it says.
        ("08P01", "unsupported startup parameter: search_path", True, DatabaseUnfit, "session mode"),
        ("08P01", AWAY, True, Unavailable, ""),
        ("08P01", "query_wait_timeout", False, Unavailable, ""),
        ("23514", "new row violates check constraint", False, RowRefused, ""),
        ("P0001", "raised by a trigger", False, RowRefused, ""),
        ("XX000", "could not read block", False, Unavailable, ""),
    ],
)
def test_a_code_has_one_meaning(state: str, text: str, *, connecting: bool, family: type[SnkError], hint: str) -> None:
    orig = PostgresError(text)
    orig.sqlstate = state
    error = from_server(DBAPIError(None, None, orig), "first (there)", connecting=connecting)
    assert type(error) is family
    assert str(error).startswith(f"first (there): {text}")
    assert hint in error.hint
    assert bool(error.hint) == bool(hint)
