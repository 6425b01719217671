"""Checks that a Redis accepts the commands that `snk.pair.dedup.redis_store` uses."""

import secrets
from collections.abc import Sequence

from redis.asyncio.client import Pipeline

from snk.pair.dedup.redis_store import PROOF, SCANNED, answered, client, key_of

COMMANDS = ("PING", "HSCAN", "DEL", "HSET", "HDEL", "EXPIRE")
LEAST_KEYS = 16
"""In a cluster, each key may be on a different node, and the node connected to may hold only some of them."""
LEFT_SECONDS = 10  # removes the keys if the connection ends in between


async def try_out(dsn: str, names: Sequence[str]) -> None:
    """Run the daemon's commands for the entries of these names, under keys of a boot that never existed.

    Every command that removes a key is tried before a key is created, so no key is left behind.

    Raises:
        RedisError, OSError: Redis does not answer, or refuses a command.
    """
    keys = [key_of(name, secrets.token_hex(16)) for name in names for _ in range(-(-LEAST_KEYS // len(names)))]
    async with client(dsn) as redis:
        await answered(redis.ping())
        for key in keys:
            await answered(redis.hscan(key, count=SCANNED))
            commands = redis.pipeline(transaction=False)
            commands.delete(key)
            commands.hdel(key, PROOF)
            commands.expire(key, LEFT_SECONDS)
            await _done(commands)
            commands.hset(key, PROOF, b"")
            commands.expire(key, LEFT_SECONDS)
            commands.hdel(key, PROOF)
            await _done(commands)


async def _done(commands: Pipeline) -> None:
    """Execute the commands. An error carries Redis's own message; the client would prefix it with the whole command."""
    for answer in await answered(commands.execute(raise_on_error=False)):
        if isinstance(answer, Exception):
            raise answer
