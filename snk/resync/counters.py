"""Reads and raises counters in Redis: one server or a cluster, always on primaries, never by KEYS.

Values are read by MGET (in a cluster, one for each slot) and names by one SCAN, in batches so small that other clients
do not wait.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio.cluster import RedisCluster

from snk.core.plan import Outcome
from snk.resync.model import MOST, Counter, RaiseCounter, Unreadable
from snk.resync.redis import Client, anything_expires, translated
from snk.resync.together import side_by_side

BATCH = 500
"""Keys per round trip."""
STREAMS = 2
"""Batches that are read at the same time."""
AT_ONCE = 20
"""Counters that are raised at the same time."""
SCAN_COUNT = 1000
"""Keys that the server looks at in one step of SCAN: well below a millisecond of its time."""
ABSENT = ""
_COUNT = re.compile(rb"0|[1-9][0-9]{0,18}")
_SHOWN = 40

# KEYS[1] is raised from ARGV[1] (empty: it does not exist) to ARGV[2]; its time to live stays as it is.
RAISE = """
if redis.call('TYPE', KEYS[1]).ok == 'none' then
  if ARGV[1] ~= '' then return 0 end
elseif redis.call('TYPE', KEYS[1]).ok ~= 'string' or redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1
"""


@dataclass(frozen=True, slots=True)
class Counters:
    """The counters of one Redis, as long as the connection to it lives."""

    client: Client
    address: str

    async def names(self, pattern: str) -> set[bytes]:
        """The names of all keys that match a pattern, each once, as Redis has them."""
        found: set[Any] = set()
        with translated(self.address):
            if isinstance(self.client, RedisCluster):
                async for name in self.client.scan_iter(match=pattern, count=SCAN_COUNT):
                    found.add(name)
            else:
                cursor, names = await self.client.scan(0, match=pattern, count=SCAN_COUNT)
                found.update(names)
                while cursor:
                    cursor, names = await self.client.scan(cursor, match=pattern, count=SCAN_COUNT)
                    found.update(names)
        return found

    async def similar(self, stems: Sequence[str], most: int = 3) -> list[str]:
        """Some keys in whose names one of these texts occurs."""
        found: list[str] = []
        with translated(self.address):
            async for name in self.client.scan_iter(match="*", count=SCAN_COUNT):
                shown = text(name)
                if any(stem in shown for stem in stems):
                    found.append(shown)
                    if len(found) == most:
                        break
        return found

    async def values(self, keys: Sequence[str]) -> dict[str, Counter]:
        """What these keys hold; a key that does not exist is None."""
        found: dict[str, Counter] = {}
        for some in _batches(keys):
            found |= await self._understood(some, await self._held(some))
        return found

    async def unlike(self, keys: Sequence[str], expected: Sequence[int | None]) -> dict[int, Counter]:
        """The places of those keys that hold anything else than expected, with what they hold.

        Where nothing is expected, the key is always among them.
        """
        found: dict[int, Counter] = {}
        starts = iter(range(0, len(keys), BATCH))

        async def compare() -> None:
            for start in starts:
                some = keys[start : start + BATCH]
                held = await self._held(some)
                wanted = [None if number is None else b"%d" % number for number in expected[start : start + BATCH]]
                if held != wanted or None in wanted:
                    places = [at for at, value in enumerate(held) if value != wanted[at] or value is None]
                    values = await self._understood([some[at] for at in places], [held[at] for at in places])
                    found.update({start + at: values[some[at]] for at in places})

        # While the server looks up one batch, the next is written and the last is compared.
        await side_by_side(*(compare() for _ in range(STREAMS)))
        return found

    async def _held(self, keys: Sequence[str]) -> list[bytes | None]:
        """What these keys hold; None also for a key of another type than string."""
        with translated(self.address):
            if isinstance(self.client, RedisCluster):
                held: list[Any] = await self.client.mget_nonatomic(keys)
            else:
                held = await self.client.mget(keys)
            return held

    async def _understood(self, keys: Sequence[str], held: Sequence[bytes | None]) -> dict[str, Counter]:
        found = {key: None if value is None else _counter(value) for key, value in zip(keys, held, strict=True)}
        lacking = [key for key, value in found.items() if value is None]
        if lacking:
            for key, kind in zip(lacking, await self._each(lacking, "TYPE"), strict=True):
                if text(kind) not in ("none", "string"):  # a string has come since
                    found[key] = Unreadable(f"it is a {text(kind)}, not a string")
        return found

    async def _each(self, keys: Sequence[str], command: str) -> list[Any]:
        """Send one command for each key, in one round trip to each node."""
        with translated(self.address):
            pipeline = self.client.pipeline(transaction=False)
            for key in keys:
                pipeline.execute_command(command, key)
            return list(await pipeline.execute())

    async def expiring(self, keys: Sequence[str]) -> dict[str, int]:
        """The keys that have a time to live, with its seconds."""
        found: dict[str, int] = {}
        with translated(self.address):
            if not keys or not await anything_expires(self.client):
                return {}
        for some in _batches(keys):
            left = await self._each(some, "TTL")
            found.update({key: seconds for key, seconds in zip(some, left, strict=True) if seconds >= 0})
        return found

    async def raised(self, changes: Sequence[RaiseCounter]) -> list[Outcome]:
        """Raise each counter if it still holds its before-value."""
        script = self.client.register_script(RAISE)

        async def one(change: RaiseCounter) -> Outcome:
            before = ABSENT if change.before is None else str(change.before)
            return "done" if await script(keys=[change.key], args=[before, str(change.after)]) else "overtaken"

        outcomes: list[Outcome] = []
        with translated(self.address):
            for at in range(0, len(changes), AT_ONCE):
                outcomes += await side_by_side(*map(one, changes[at : at + AT_ONCE]))
        return outcomes


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[at : at + BATCH] for at in range(0, len(keys), BATCH))


def text(name: bytes | str) -> str:
    """A key's name; bytes that are not UTF-8 are escaped, so it is told as a key that is no counter."""
    return name if isinstance(name, str) else name.decode(errors="backslashreplace")


def _counter(held: bytes) -> Counter:
    if _COUNT.fullmatch(held) and int(held) <= MOST:
        return int(held)
    shown = repr(held)[1:] if len(held) <= _SHOWN else f"{repr(held[:_SHOWN])[1:]} and more"
    return Unreadable(f"it holds {shown}, not an integer from 0 to {MOST}")
