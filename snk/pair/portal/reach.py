"""How pages reach both databases: over connections that flows share, a moment each, so that none is opened besides.

One page or change at a time holds connections, because it may need one to each server. While somebody looks, the
databases are asked again every few seconds, or as soon as the daemon counts otherwise.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.requests import Request

from snk.db.lender import Lender
from snk.errors import Unavailable
from snk.pair.core.summary import totals
from snk.pair.sync.daemon import Daemon

MOST_SECONDS = 8.0
"""For all that one request asks and changes; the service ends a connection after ten seconds."""
KEPT_SECONDS = 5.0
MOST_KEPT = 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Kept:
    at: float
    counts: Hashable
    answer: Any


@dataclass(slots=True)
class Reach:
    """The way to both databases of a daemon."""

    daemon: Daemon
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _kept: OrderedDict[str, _Kept] = field(default_factory=OrderedDict)

    @asynccontextmanager
    async def both(self) -> AsyncIterator[tuple[Lender, Lender]]:
        """Ways to both databases, for one page or change at a time.

        Raises:
            Unavailable: it took too long.
        """
        try:
            async with asyncio.timeout(MOST_SECONDS), self._turn:
                yield self.daemon.lenders
        except TimeoutError as error:
            hint = "A server does not answer, or somebody holds a lock. Look again whether a change was made"
            raise Unavailable(f"It took longer than {MOST_SECONDS:.0f} s", hint=hint) from error

    async def looked(self, request: Request, ask: Callable[[], Awaitable[T]]) -> T:
        """What a page shows; while somebody looks, what was asked some seconds ago is as good."""
        page = f"{request.url.path.removeprefix('/live')}?{request.url.query}"
        now, counts = time.monotonic(), self._counts()
        kept = self._kept.get(page) if request.url.path.startswith("/live/") else None
        if kept is None or kept.counts != counts or now - kept.at > KEPT_SECONDS:
            kept = self._kept[page] = _Kept(now, counts, await ask())
            self._kept.move_to_end(page)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        answer: T = kept.answer
        return answer

    def _counts(self) -> Hashable:
        told = totals(self.daemon.status())
        return told.conflicts, told.rejected
