"""Whatever is asked of a server that falls silent, a comparison and a sweep end and name it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from snk.db.server import Server
from snk.errors import Unavailable
from snk.pair.verify.compare import compare
from snk.pair.verify.search import Progress
from snk.pair.verify.sweep import sweep
from snk.pair.verify.throttle import throttles_of
from tests.kit.proxy import Proxy, proxied
from tests.pair.sync.faults import QUICK
from tests.pair.verify.conftest import Sides
from tests.pair.verify.test_live import COPY

# Only a hang takes so long.
HANGS_SECONDS = 60.0
# Words that second is sent on one connection, in turn: asked about itself, the table, the pair, and its rows.
ASKED = {
    "itself": (b"pg_control_system",),
    "the table": (b"attgenerated",),
    "a commit": (b"attgenerated", b"COMMIT"),
    "the pair": (b"pg_try_advisory_lock",),
    "its rows": (b"uuid_hash_extended",),
}


async def swept(*where: Any, progress: Progress, settle_seconds: float) -> None:
    await sweep(*where, throttles=throttles_of(1.0), settle_seconds=settle_seconds, tell=progress)


@pytest.fixture
async def proxy(sides: Sides) -> AsyncIterator[Proxy]:
    """Before second."""
    async with proxied(sides.second.dsn) as made:
        yield made


@pytest.fixture(params=[compare, swept], ids=["verify", "sweep"])
def compared(request: pytest.FixtureRequest, sides: Sides, proxy: Proxy) -> Callable[..., Any]:
    """A comparison or a sweep of both sides; second is reached through the proxy."""
    servers = Server("first", sides.first.dsn, **QUICK), Server("second", proxy.dsn, **QUICK)

    async def run(tell: Progress = lambda *_: None) -> None:
        async with asyncio.timeout(HANGS_SECONDS):
            await request.param(*servers, "records", settle_seconds=HANGS_SECONDS, progress=tell)

    return run


@pytest.mark.sampled(4)
@pytest.mark.parametrize("asked", ASKED)
async def test_an_answer_that_is_lost_is_not_waited_for(
    compared: Callable[..., Any], sides: Sides, proxy: Proxy, asked: str
) -> None:
    await sides.both(COPY.format(1, 100))
    happened = proxy.when_sent(*ASKED[asked], pass_on=True, then="swallow")
    with pytest.raises(Unavailable, match=r"second \(.*lost in transit"):
        await compared()
    assert happened.is_set()


@pytest.mark.long
async def test_a_network_that_falls_silent_in_the_middle_is_named(
    compared: Callable[..., Any], sides: Sides, proxy: Proxy
) -> None:
    """Nobody closes a connection, and new ones are taken and never answered."""
    await sides.first.run(COPY.format(1, 100))

    def silence(what: str, *_: int) -> None:
        if what == "look again":
            proxy.hold()

    with pytest.raises(Unavailable, match=r"second \(.*no answer within"):
        await compared(silence)


@pytest.mark.long
async def test_asking_about_a_statement_has_a_deadline_too(proxy: Proxy) -> None:
    """The connection over which the server is asked falls silent after it was made."""
    server = Server("second", proxy.dsn, **QUICK, command_seconds=None)
    async with asyncio.timeout(HANGS_SECONDS), server.connect() as connection:
        happened = proxy.when_sent(b"pg_stat_activity", pass_on=True, then="swallow")
        with pytest.raises(Unavailable, match=r"no answer within 3\.0 s"):
            async with server.answering(connection):
                await asyncio.Event().wait()
    assert happened.is_set()
