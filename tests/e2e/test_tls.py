"""TLS to PostgreSQL and Redis: whoever shows the wrong certificate is refused, by name, and nothing goes in clear."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from snk.db.server import Server
from snk.errors import DatabaseUnfit
from snk.pair.dedup.dedup_set import DedupSet
from snk.pair.dedup.redis_store import RedisStore
from snk.pair.doctor import examine
from snk.pair.sync.pair import Pair
from tests.kit.daemons import DaemonProcess
from tests.kit.databases import Database, insert, until_equal
from tests.kit.tls import Certificates, behind_tls

BAD = {
    "of another host": "certificate is not valid for",
    "expired": "certificate has expired",
    "of an unknown authority": "unable to get local issuer certificate",
}


@pytest.fixture(scope="module")
def certificates(folder: Path) -> Certificates:
    return Certificates(folder)


async def nobody(_: object) -> frozenset[str]:
    return frozenset()


async def connected(dsn: str) -> bool:
    async with Server("first", dsn).connect():
        return True


async def refused(dsn: str) -> str:
    with pytest.raises(DatabaseUnfit) as caught:
        await connected(dsn)
    assert str(urlsplit(dsn).password) not in str(caught.value)
    return str(caught.value)


def through(dsn: str, address: str, **parameters: Any) -> str:
    parts = urlsplit(dsn)
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{address}".lstrip("@"), query=query).geturl()


@pytest.mark.long
async def test_rows_cross_under_tls_that_is_verified_everywhere(pair: Any, certificates: Certificates) -> None:
    good = certificates.context("good")
    async with (
        behind_tls(pair.first, good) as first_at,
        behind_tls(pair.second, good) as second_at,
        behind_tls(pair.redis, good) as redis_at,
    ):
        trust = {"sslmode": "verify-full", "sslrootcert": certificates.trusted}
        values = {
            "FIRST_DB_URL": through(pair.first, first_at, **trust),
            "SECOND_DB_URL": through(pair.second, second_at.replace("127.0.0.1", "localhost"), **trust),
            "REDIS_URL": through(pair.redis, redis_at, ssl_ca_certs=certificates.trusted).replace("redis:", "rediss:"),
        }
        first, second = Database(pair.first), Database(pair.second)
        with DaemonProcess(pair, **values) as daemon:
            await daemon.until_flowing()
            await insert(first, 100)
            await insert(second, 100)
            await until_equal(first, second, 200)
            assert await asyncio.to_thread(daemon.stop) == 0, "its servers are behind this test's loop"
            assert "redis_lost" not in daemon.log


@pytest.fixture(params=list(BAD))
async def bad(request: pytest.FixtureRequest, pair: Any, certificates: Certificates) -> AsyncIterator[tuple[str, str]]:
    """A server that shows a bad certificate, and what is to be said of it."""
    async with behind_tls(pair.first, certificates.context(request.param)) as address:
        yield request.param, address


async def test_a_bad_certificate_is_refused_and_named(
    pair: Any, bad: tuple[str, str], certificates: Certificates
) -> None:
    which, address = bad
    for mode in ("verify-full", "verify-ca", "require"):
        dsn = through(pair.first, address, sslmode=mode, sslrootcert=certificates.trusted)
        if which == "of another host" and mode != "verify-full":
            assert await connected(dsn), "only verify-full looks at the name"
            continue
        said = await refused(dsn)
        assert f"first ({address}/" in said
        assert BAD[which] in said
        assert "sslrootcert" in said
    assert await connected(through(pair.first, address, sslmode="require")), "without an authority nothing is checked"


async def test_a_server_without_tls_is_refused_where_tls_is_wanted(pair: Any, certificates: Certificates) -> None:
    async with behind_tls(pair.first, None) as address:
        for parameters in ({"sslmode": "require"}, {"sslmode": "verify-full", "sslrootcert": certificates.trusted}):
            said = await refused(through(pair.first, address, **parameters))
            assert f"first ({address}/" in said
            assert "does not offer TLS" in said
        assert await connected(through(pair.first, address)), "the default prefers TLS, and goes without"


@pytest.mark.parametrize("which", list(BAD))
async def test_a_redis_with_a_bad_certificate_is_not_used_and_named(
    which: str, pair: Any, certificates: Certificates
) -> None:
    async with behind_tls(pair.redis, certificates.context(which)) as address:
        dsn = through(f"rediss://:hush@{address}/0", address, ssl_ca_certs=certificates.trusted)
        async with RedisStore(dsn) as store:
            store.attach("name", DedupSet(10))
            await store.restore("name", nobody)
            assert BAD[which] in store.error
            assert "hush" not in store.error
        servers = Pair(Server("first", pair.first), Server("second", pair.second), ())
        (found,) = [finding async for finding in examine(servers, dsn) if finding.subject == "redis"]
        assert (found.level, BAD[which] in found.message) == ("warning", True)
