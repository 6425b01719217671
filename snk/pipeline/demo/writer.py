"""Clients that store records in the sending server, at the present and a little before it."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from snk.http.client import Answered, Client, NoAnswer, Request
from snk.http.origin import Origin
from snk.pipeline.demo import tables
from snk.pipeline.demo.stage import HOST
from snk.pipeline.frame import moment

CLIENTS = 2
PAUSE_SECONDS = 0.1
RETRY_SECONDS = 0.05
ANSWER_SECONDS = 5.0
GIVE_UP_SECONDS = 60.0
PAST_SHARE, PAST_SECONDS = 0.2, 3.0
"""Of all records so many are stored up to so many seconds after the time that they bear."""
AGAIN_SHARE = 0.1
"""Of all records so many are sent twice, with the same Idempotency-Key."""
CREATED = 201
REPLAYED = "Idempotency-Replayed"


class NotStored(Exception):  # noqa: N818 - it is a finding, not a fault of the program
    """A record that is allowed was refused, or was not stored in time."""


@dataclass(slots=True)
class Writer:
    """The clients. Each sends a record until it is stored, always with the same key.

    Attributes:
        port: of the sending server.
        stored: how many records the sending server stored.
        doubled: how many of them were sent a second time on purpose, and recognised by their key.
        again: how many requests were sent again because there was no answer.
        amiss: records that were refused, or not recognised; their clients stopped.
    """

    port: int
    stored: int = 0
    doubled: int = 0
    again: int = 0
    amiss: list[str] = field(default_factory=list)
    _numbers: int = 0

    async def run(self, end: float) -> None:
        """Store records of the present, up to a moment in seconds since the epoch."""

        def present(chance: random.Random) -> float | None:
            now = time.time()
            return now - (chance.random() < PAST_SHARE) * chance.random() * PAST_SECONDS if now < end else None

        await self._clients(present)

    async def late(self, start: float, end: float, count: int) -> None:
        """Store records that bear times from a moment to before another one, which is over."""
        left = iter(range(count))
        await self._clients(lambda chance: None if next(left, None) is None else chance.uniform(start, end - 1))

    async def _clients(self, next_at: Callable[[random.Random], float | None]) -> None:
        client = Client(Origin("http", HOST, self.port), CLIENTS, {"Content-Type": "application/json"})
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(CLIENTS):
                    group.create_task(self._client(client, random.Random(number), next_at))  # noqa: S311 - no secret
        finally:
            await client.close()

    async def _client(
        self, client: Client, chance: random.Random, next_at: Callable[[random.Random], float | None]
    ) -> None:
        """Store one record after the other until there are no more times."""
        while (at := next_at(chance)) is not None:
            self._numbers += 1
            request = _request(f"new-{self._numbers}", at, chance)
            try:
                await self._store(client, request)
                if chance.random() < AGAIN_SHARE:
                    await self._store_again(client, request)
            except NotStored as error:
                self.amiss.append(str(error))
                return
            await asyncio.sleep(PAUSE_SECONDS)

    async def _store(self, client: Client, request: Request) -> None:
        await self._sent(client, request)
        self.stored += 1

    async def _store_again(self, client: Client, request: Request) -> None:
        answer = await self._sent(client, request)
        if answer.headers.get(REPLAYED) != "true":
            raise NotStored(f"the sending server did not recognise the key of {request.body.decode()}")
        self.doubled += 1

    async def _sent(self, client: Client, request: Request) -> Answered:
        """The answer to a record that is stored; it is sent until there is one."""
        end = time.monotonic() + GIVE_UP_SECONDS
        reason = ""
        while time.monotonic() < end:
            try:
                answer = await client.send(request, ANSWER_SECONDS)
            except NoAnswer as error:
                reason = str(error)
            else:
                if answer.status == CREATED:
                    return answer
                reason = f"{answer.status} {answer.text}"
            self.again += 1
            await asyncio.sleep(RETRY_SECONDS)
        raise NotStored(f"{request.body.decode()} was not stored within {GIVE_UP_SECONDS:.0f} s: {reason}")


def _request(uid: str, at: float, chance: random.Random) -> Request:
    made = tables.content(chance)
    amount = None if made["amount"] is None else float(made["amount"])
    record = {
        "uid": uid,
        "created_at": moment(at).isoformat(),
        "amount": amount,
        "note": made["note"],
    }
    key = (("Idempotency-Key", f'"{uid}"'),)
    return Request("POST", f"/v1/{tables.NAME}", json.dumps(record).encode(), key)
