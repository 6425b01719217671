"""The doctor's findings about Redis."""

from collections.abc import AsyncIterator

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from snk.core.finding import Finding
from snk.pair.dedup.probe import COMMANDS, try_out
from snk.pair.sync.pair import Pair

WITHOUT = "SNK works without it, but recognises its own rows more slowly after a restart"


async def of_redis(pair: Pair, dsn: str) -> AsyncIterator[Finding]:
    """Check that Redis supports what the daemon uses, under the daemon's own keys; no key is left behind."""
    names = [pair.notes_name(table, server) for table in pair.tables for server in (pair.first, pair.second)]
    try:
        await try_out(dsn, names)
    except (RedisError, OSError) as error:
        refuses = isinstance(error, ResponseError | AuthenticationError | AuthorizationError)
        what = "it refuses SNK's commands" if refuses else "it does not answer"
        advice = next((advice for kinds, advice in ADVICE.items() if isinstance(error, kinds)), "")
        words = f"MOVED {error}" if isinstance(error, MovedError) else str(error)  # else only an address
        yield Finding("warning", "redis", f"{what}: {words}", f"{advice}. {WITHOUT}" if advice else WITHOUT)
    else:
        yield Finding("ok", "redis", "it stores and returns entries")


ADVICE: dict[tuple[type[Exception], ...], str] = {
    (NoPermissionError,): f"Allow its user to run {', '.join(COMMANDS)} on the keys snk:known:*",
    (AuthenticationError, AuthorizationError): "Set the user and password in REDIS_URL",
    (ReadOnlyError,): "Point REDIS_URL to the primary",
    (OutOfMemoryError,): "Increase maxmemory, or set a maxmemory-policy that evicts: SNK can lose any entry",
    (
        MovedError,
        AskError,
        ClusterDownError,
    ): "Point REDIS_URL to a server that is not part of a cluster, or that has all slots",
}
