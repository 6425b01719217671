"""Connections to Redis: one server or a cluster, whichever answers at the URL; errors are translated."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import hiredis
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    MovedError,
    NoPermissionError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from snk.errors import CountersUnfit, SnkError, Unavailable

Client = Redis | RedisCluster
_SECTIONS = ("replication", "cluster")
_DENIED = (AuthenticationError, AuthorizationError, NoPermissionError)


@asynccontextmanager
async def connected(url: str, timeout_seconds: float) -> AsyncIterator[Client]:
    """Connect, and find out whether the URL leads to a cluster.

    Raises:
        Unavailable: it cannot be reached.
        CountersUnfit: it refuses the user, or it is a replica, which may be behind.
    """
    given: dict[str, Any] = {"socket_timeout": timeout_seconds, "socket_connect_timeout": timeout_seconds}
    async with _packed(Redis.from_url(url, **given)) as single:
        facts = await _facts(single, address_of(url))
        if facts.get("cluster_enabled") != 1:
            if facts.get("role") == "slave":
                hint = "Set resync.redis to its primary: a replica may be behind"
                raise CountersUnfit(f"{address_of(url)} is a replica", hint=hint)
            yield single
            return
    with translated(address_of(url)):
        async with RedisCluster.from_url(url, **given) as cluster:
            try:
                yield cluster
            finally:  # when a node does not answer, the client forgets to close its connections to the others
                await cluster.nodes_manager.aclose()
                await cluster.nodes_manager.aclose("startup_nodes")


def _packed(client: Redis) -> Redis:
    """Have hiredis write commands, as redis-py's synchronous client does: a million keys take half the time."""
    plain: Any = client.connection_pool.connection_class

    class Packed(plain):  # type: ignore[misc]
        def pack_command(self, *parts: Any) -> list[bytes]:
            return [hiredis.pack_command((*parts[0].split(), *parts[1:]))]  # SCRIPT LOAD is two words

    client.connection_pool.connection_class = Packed
    return client


async def _facts(client: Redis, address: str) -> dict[str, Any]:
    """What the server says about its role; nothing where its user may not ask."""
    with translated(address):
        await client.ping()
        try:
            return {name: value for part in _SECTIONS for name, value in (await client.info(part)).items()}
        except (NoPermissionError, ResponseError):
            return {}


async def anything_expires(client: Client) -> bool:
    """Whether any key has a time to live; where that may not be asked, any key may have one."""
    try:
        told = await client.info(
            "keyspace", **({"target_nodes": RedisCluster.PRIMARIES} if _is_cluster(client) else {})
        )
    except NoPermissionError:
        return True
    databases = [told] if not _is_cluster(client) else told.values()
    return any(facts.get("expires") for node in databases for facts in node.values() if isinstance(facts, dict))


async def other_databases(client: Client) -> list[str]:
    """The numbers of all databases that hold keys, or nothing where that may not be asked."""
    if _is_cluster(client):
        return []
    try:
        return [name.removeprefix("db") for name in await client.info("keyspace")]
    except NoPermissionError:
        return []


def _is_cluster(client: Client) -> bool:
    return isinstance(client, RedisCluster)


def address_of(url: str) -> str:
    """Where Redis is, without user and password: ``redis (cache.example:6379/0)``."""
    parts = urlsplit(url)
    return f"redis ({parts.netloc.rpartition('@')[2]}{parts.path})"


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Translate errors of the client inside the block. A node that cannot answer is trouble, never a difference."""
    try:
        yield
    except SnkError:
        raise
    except _DENIED as error:
        hint = "Check user and password in resync.redis, and the commands that its ACL allows"
        raise CountersUnfit(f"{address}: {error}", hint=hint) from error
    except MovedError as error:
        hint = "Allow its user the command INFO, by which SNK recognises a cluster"
        raise CountersUnfit(f"{address} is a node of a cluster: {error}", hint=hint) from error
    except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
        raise Unavailable(f"{address}: {str(error) or type(error).__name__}") from error
