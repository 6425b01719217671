"""Asks the source for the records of one frame, page by page, and passes on whole answers only."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from snk.core.bucket import Bucket
from snk.http.auth.credentials import Credentials
from snk.http.client import retry_after
from snk.pipeline.clock import Sent, SourceClock
from snk.pipeline.page import Page, Reading
from snk.pipeline.unpack import Packed, Unpacking

KEEP_SECONDS = 4.0
MOST_PAGES = 1_000_000
MEMORY_BYTES = 2**20
"""A larger body is kept on disk while it is read."""
CHUNK_BYTES = 64 * 1024
OK = 200
NOT_FOUND = 404
SHOWN_BYTES = 100
NEEDS_PERSON = (401, 403, 404, 405, 407)
BUSY = (429, 503)


class Failed(Exception):  # noqa: N818 - what it means is the caller's business
    """A frame could not be fetched, and is asked for again later.

    Attributes:
        whole: whether that concerns the source and not this frame alone.
        after: how many seconds the source wants to be left alone.
    """

    def __init__(self, reason: str, *, whole: bool = False, after: float = 0.0) -> None:
        super().__init__(reason)
        self.whole = whole
        self.after = after


class NotOver(Failed):
    """The clock of the source says that the frame, and the delay after it, are not over."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How the source is asked.

    Attributes:
        url: with ``{start}`` and ``{end}``.
        page: how further pages are found.
        page_name: the parameter for the number of a page, or for the cursor.
        page_first: the number of the first page.
        empty: answers that mean that there are no records.
        rate: requests per second.
        seconds: until an answer must have begun, and for each piece of it.
        closed: whether a frame must be closed by a line with its count and digest.
    """

    url: str
    reading: Reading
    page: Literal["none", "page", "cursor", "link"]
    page_name: str
    page_first: int
    empty: frozenset[int]
    rate: float
    seconds: float
    headers: Mapping[str, str]
    credentials: Credentials
    closed: bool = False


class Source:
    """The source.

    Attributes:
        clock: what is known of its clock.
        answered: whether it has ever answered 200: only then is 404 believed to mean that there are no records.
    """

    def __init__(self, asking: Asking, scratch: Path) -> None:
        """Assign.

        Args:
            asking: how it is asked.
            scratch: a folder for large answers while they are read.
        """
        self.clock = SourceClock()
        self.answered = False
        self._asking = asking
        self._scratch = scratch
        self._bucket = Bucket(asking.rate, burst=max(1.0, asking.rate / 10))
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._asking.seconds, sock_read=self._asking.seconds
            ),
            headers={"Accept-Encoding": "gzip", **self._asking.headers},
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session  # noqa: S101 - it was entered
        await self._session.close()

    async def pages(self, start: str, end: str, over_at: float) -> AsyncIterator[Page]:
        """The pages of one frame; each must be read before the next one is asked for.

        Args:
            start: the frame's start.
            end: its end.
            over_at: what the clock of the source must have shown when it was asked first, in seconds since the epoch.

        Raises:
            Failed: it must be asked for again.
            NoPage: an answer is not what the settings say.
        """
        place = {"start": quote(start, safe=":"), "end": quote(end, safe=":")}
        url = URL(self._asking.url.format(**place), encoded=True)
        visited: set[URL] = set()
        number = self._asking.page_first
        if self._asking.page == "page":
            url = url.update_query({self._asking.page_name: str(number)})
        while True:
            visited.add(url)
            async with self._answer(url, None if len(visited) > 1 else over_at) as (answer, body):
                page = self._asking.reading.page(body)
                if answer is not None:
                    yield page
                    self._check_end(page, answer)
                following = self._next(url, page, answer, number)
            number += 1
            if following is None:
                return
            if following in visited or len(visited) >= MOST_PAGES:
                raise Failed(f"{following} was its page before, too")
            url = following

    @asynccontextmanager
    async def _answer(
        self, url: URL, over_at: float | None
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse | None, IO[bytes]]]:
        """A whole answer, and its body; no answer if it means that there are no records.

        The connection is not given back before the body was read, so that no other request is sent meanwhile.
        """
        assert self._session  # noqa: S101 - it was entered
        await self._my_turn()
        sent = Sent.now()
        authorization = self._asking.credentials.header()
        headers = {"Authorization": authorization} if authorization else {}
        with tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES, dir=str(self._scratch)) as body:
            try:
                async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
                    shown = self.clock.when_sent(sent, answer.headers.get("Date"))
                    there = await self._is_there(answer, first=over_at is not None)
                    if over_at is not None and shown < over_at:
                        raise NotOver("its clock says that the frame is not over")
                    if there:
                        await _read(answer, body)
            except (TimeoutError, aiohttp.ClientError) as error:
                raise Failed(_why(error), whole=True) from None
            except ValueError as error:
                raise Failed(f"its answer cannot be understood: {error}") from None
            body.seek(0)
            yield (answer if there else None), body

    async def _is_there(self, answer: aiohttp.ClientResponse, *, first: bool) -> bool:
        """Whether there are records; False if the status says that there are none.

        A page that the one before it promised has to be there; only numbers are counted up until there is no page.
        """
        if answer.status == OK:
            self.answered = True
            return True
        may_be_empty = first or self._asking.page == "page"
        if answer.status in self._asking.empty and may_be_empty and (self.answered or answer.status != NOT_FOUND):
            return False
        words = await _words(answer)
        reason = f"it answers {answer.status}: {words}" if words else f"it answers {answer.status}"
        if "Location" in answer.headers:
            reason += f"; it is moved to {answer.headers['Location']}"
        after = retry_after(answer.headers.get("Retry-After", ""), time.time()) if answer.status in BUSY else 0.0
        raise Failed(reason, whole=answer.status in BUSY or answer.status in NEEDS_PERSON, after=after)

    def _check_end(self, page: Page, answer: aiohttp.ClientResponse) -> None:
        """Refuse what may be a part only: an answer without a length, whose form does not show its end."""
        if self._asking.closed and page.end is None:
            raise Failed("the line that closes the frame is missing")
        framed = "Content-Length" in answer.headers or "chunked" in answer.headers.get("Transfer-Encoding", "").lower()
        if not framed and page.end is None and self._asking.reading.form != "json":
            raise Failed("its answer has neither a length nor an end, so it may be a part only")

    def _next(self, url: URL, page: Page, answer: aiohttp.ClientResponse | None, number: int) -> URL | None:
        """The next page; None if this is the last one."""
        how = self._asking.page
        if answer is None or how == "none":
            return None
        if how == "page":
            return url.update_query({self._asking.page_name: str(number + 1)}) if page.count else None
        if how == "cursor":
            return url.update_query({self._asking.page_name: page.cursor}) if page.cursor else None
        link = answer.links.get("next")
        following = link.get("url") if link else None
        if following is None:
            return None
        if not isinstance(following, URL) or following.origin() != url.origin():
            raise Failed(f"its next page is on another server: {following}")
        return following

    async def _my_turn(self) -> None:
        while wait := self._bucket.take(time.monotonic()):  # noqa: ASYNC110 - it waits for time to pass
            await asyncio.sleep(wait)


async def _words(answer: aiohttp.ClientResponse) -> str:
    """The beginning of the body of an answer that is no page."""
    told = await answer.content.read(SHOWN_BYTES)
    with suppress(Packed):
        told = Unpacking(answer.headers.get("Content-Encoding", "")).piece(told)[:SHOWN_BYTES]
    return told.decode(errors="backslashreplace").strip()


async def _read(answer: aiohttp.ClientResponse, body: IO[bytes]) -> None:
    unpacking = Unpacking(answer.headers.get("Content-Encoding", ""))
    async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
        body.write(unpacking.piece(chunk))
    unpacking.finish()


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"it cannot be reached: {error.os_error.strerror or error.os_error}"
    return f"its answer broke off: {str(error) or type(error).__name__}"
