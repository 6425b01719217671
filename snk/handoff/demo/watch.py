"""What the sync server says of itself, also across its restarts."""

import json
from collections import Counter

from snk.handoff.client import BackendClient
from snk.http.client import NoAnswer, Request

ANSWER_SECONDS = 1.0
COUNTS = ("synced", "unknown", "again")


class Watch:
    """Looks at the status.

    Attributes:
        waiting: how many lines wait, by backend; None if it does not answer.
    """

    def __init__(self, address: str) -> None:
        self.waiting: dict[str, int] | None = None
        self._client = BackendClient(address, 1, None)
        self._before: Counter[str] = Counter()
        self._now: Counter[str] = Counter()

    async def look(self) -> dict[str, int]:
        """Look once, and return how many lines wait, by backend; empty if it does not answer."""
        try:
            answer = await self._client.send(Request("GET", "/status"), ANSWER_SECONDS)
        except NoAnswer:
            self.waiting = None
            return {}
        backends = json.loads(answer.body)["backends"]
        self._now = Counter({name: sum(each[name] for each in backends.values()) for name in COUNTS})
        self.waiting = {name: each["pending_lines"] for name, each in backends.items()}
        return self.waiting

    def begins_anew(self) -> None:
        """The sync server is started again, and counts from zero; what it did after the last look is not counted."""
        self._before += self._now
        self._now = Counter()

    def count(self, name: str) -> int:
        """What it counted of one thing since it was first started."""
        return self._before[name] + self._now[name]

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()
