"""Errors come out in SNK's own words, sorted by what the caller does about them."""

import asyncio
import errno
import re
import socket
import ssl
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from snk.db.errors import translated
from snk.db.pool import Pool
from snk.db.server import Server
from snk.db.watch import watched
from snk.embedded.process import free_port
from snk.errors import DatabaseUnfit, TooLarge, Unavailable
from tests.conftest import PairUrls
from tests.kit.databases import Database


async def test_an_array_larger_than_a_server_can_make_is_too_large(pair: PairUrls) -> None:
    megabytes = sa.func.generate_series(1, 1100).table_valued("number")
    heavy = sa.select(sa.func.array_agg(sa.func.repeat("x", 1_000_000))).select_from(megabytes)
    with pytest.raises(TooLarge, match="array size exceeds"):
        async with Server("first", pair.first).connect() as connection:
            await connection.execute(heavy)


async def test_statements_see_what_is_committed_whatever_the_role_prefers(pair: PairUrls) -> None:
    server = Server("first", pair.first)
    name = urlsplit(pair.first).path[1:]
    async with server.connect() as connection:
        preferred = f"alter database \"{name}\" set default_transaction_isolation = 'repeatable read'"
        await connection.execute(sa.text(preferred))
    async with server.connect() as connection:
        level = await connection.execute(sa.select(sa.func.current_setting("transaction_isolation")))
        assert level.scalar_one() == "read committed"


async def test_a_parameter_that_nobody_knows_is_the_urls_fault(pair: PairUrls) -> None:
    with pytest.raises(DatabaseUnfit, match=r"sslmoode.*Use the parameters"):
        async with Server("first", f"{pair.first}?sslmoode=require").connect():
            pass


async def test_a_server_that_is_not_there_is_told_in_words_with_what_to_do() -> None:
    there = f"127.0.0.1:{free_port()}/db"
    told = f"database ({there}): nothing accepts connections there. Start the database server, or fix host and port"
    for opened in (
        Server("database", f"postgresql://u@{there}").connect,
        Pool(f"postgresql://u@{there}", 1, 1.0, "t").begin,
    ):
        with pytest.raises(Unavailable, match=f"^{re.escape(told)}"):
            async with opened():
                pass


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EHOSTUNREACH, "Connect call failed ('10.0.0.1', 5432)"), "No route to host"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "[SSL: WRONG_VERSION_NUMBER]"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed"), "nothing accepts connections there"),
    ],
)
def test_errors_of_the_system_are_told_without_their_numbers(error: OSError, expected: str) -> None:
    with pytest.raises(Unavailable, match=rf"^database: {re.escape(expected)}"), translated("database", None):
        raise error


async def test_a_server_that_refuses_to_tell_of_a_statement_is_waited_for_and_that_is_logged(pair: PairUrls) -> None:
    side, role = Database(pair.first), "r" + urlsplit(pair.first).path[1:]
    await side.run(f"create role {role} login password 'pw' connection limit 1")
    try:
        dsn = pair.first.replace("postgres:postgres@", f"{role}:pw@")
        with capture_logs() as logs:
            async with Server("first", dsn, answer_seconds=0.05).connect() as connection:
                server = Server("first", dsn, answer_seconds=0.05)
                async with server.answering(connection):
                    await connection.execute(sa.select(sa.func.pg_sleep(1.0)))
        told = [(log["log_level"], log["error"]) for log in logs if log["event"] == "probe_refused"]
        assert told
        assert told[0][0] == "debug"
        assert "too many connections for role" in told[0][1]
    finally:
        await side.run(f"drop role {role}")


async def test_a_probe_that_fails_itself_is_logged() -> None:
    asked = asyncio.Event()

    async def broken() -> None:
        asked.set()
        raise LookupError("nobody asked for this")

    with capture_logs() as logs:
        async with watched(0.01, broken):
            await asked.wait()
    assert [(log["log_level"], log["error"]) for log in logs] == [("debug", "LookupError('nobody asked for this')")]
