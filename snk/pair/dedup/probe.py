"""Whether a Redis does what `snk.pair.dedup.redis_store` asks of it."""

import secrets
from collections.abc import Sequence

from redis.asyncio.client import Pipeline

from snk.pair.dedup.redis_store import PROOF, SCANNED, answered, client, key_of

COMMANDS = ("PING", "HSCAN", "DEL", "HSET", "HDEL", "EXPIRE")
LEAST_KEYS = 16
"""In a cluster each key may lie on another node, and this one may have some of them."""
LEFT_SECONDS = 10  # should the connection end in between


async def try_out(dsn: str, names: Sequence[str]) -> None:
    """Do what the daemon does for the notes of these names, under keys for a boot that there never was.

    Whatever can take a key away is tried before there is one, so none is left.

    Raises:
        RedisError, OSError: it does not answer, or refuses something.
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
    """Redis's own words, where it refuses one of them; the client would put the whole command before them."""
    for answer in await answered(commands.execute(raise_on_error=False)):
        if isinstance(answer, Exception):
            raise answer
