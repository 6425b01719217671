"""Sends requests to one server over kept connections, and says what is known when there is no answer."""

import email.utils
import time
from collections.abc import Mapping
from time import monotonic
from typing import NamedTuple

import aiohttp
from yarl import URL

from snk import __version__
from snk.http.deadlines import Deadlines
from snk.http.origin import Origin, origin_of

KEEP_SECONDS = 4.0
"""How long an idle connection is kept: less than servers do, so that it is seldom closed while a request is sent."""
MOST_ANSWER_BYTES = 64 * 1024
MOST_TEXT_BYTES = 200
MOST_RETRY_AFTER = 300.0
_HEADERS = {"User-Agent": f"snk/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
"""Of all requests, unless others are given."""


class Request(NamedTuple):
    """One HTTP request.

    Attributes:
        method: such as ``POST``.
        target: the path with its query, percent-encoded as it is sent.
        headers: names and values.
    """

    method: str
    target: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class NoAnswer(Exception):  # noqa: N818 - what it means is the caller's business
    """There was no answer.

    Attributes:
        sent: whether the request may have reached the backend.
        late: whether the time was over.
        reachable: whether a connection could be made.
    """

    def __init__(self, reason: str, *, sent: bool, late: bool = False, reachable: bool = True) -> None:
        super().__init__(reason)
        self.sent = sent
        self.late = late
        self.reachable = reachable


class Answered(NamedTuple):
    """An answer.

    Attributes:
        headers: by their names, whose case does not matter.
        body: as much of it as is read.
        resent: whether the request was sent a second time, because the first answer was lost.
        cut: whether the answer is longer than what is read of it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    resent: bool = False
    cut: bool = False

    @property
    def retry_after(self) -> float:
        """For how many seconds the server asked to be left alone; 0 if it did not."""
        return retry_after(self.headers["Retry-After"], time.time()) if "Retry-After" in self.headers else 0.0

    @property
    def text(self) -> str:
        """The beginning of its body."""
        return self.body[:MOST_TEXT_BYTES].decode("utf-8", "backslashreplace")


class Client:
    """The connections to one server."""

    def __init__(
        self, origin: Origin, slots: int, headers: Mapping[str, str], most_bytes: int = MOST_ANSWER_BYTES
    ) -> None:
        """Assign.

        Args:
            origin: where it is reached.
            slots: connections at once.
            headers: of every request.
            most_bytes: of an answer; what follows may not be read.
        """
        host = f"[{origin.host}]" if ":" in origin.host and not origin.host.startswith("[") else origin.host
        self._origin = origin._replace(host=host)
        self._most_bytes = most_bytes
        self._deadlines = Deadlines()
        self._answered_at = float("-inf")
        self._last = ("", URL())
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=slots, keepalive_timeout=KEEP_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            headers=_with_defaults(headers),
            auto_decompress=False,
        )

    async def send(self, request: Request, seconds: float) -> Answered:
        """Send a request; one that met a connection which the server had closed is sent again at once.

        Args:
            request: the request.
            seconds: for the whole answer.

        Raises:
            NoAnswer: there was none.
        """
        url = self._url(request.target)
        try:
            return await self._deadlines.within(seconds, self._send(request, url))
        except aiohttp.ServerDisconnectedError:
            return await self._send_again(request, url, seconds)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise self._why(error, request, seconds) from None

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    def _url(self, target: str) -> URL:
        """The whole address of a target, which is often the same as the time before."""
        if target != self._last[0]:
            path, _, query = target.partition("?")
            scheme, host, port = self._origin
            url = URL.build(scheme=scheme, host=host, port=port, path=path, query_string=query, encoded=True)
            self._last = target, url
        return self._last[1]

    async def _send(self, request: Request, url: URL) -> Answered:
        answer = await self._session.request(
            request.method, url, data=request.body or None, headers=request.headers, allow_redirects=False
        )
        length = answer.content_length
        if length is not None and length <= self._most_bytes:
            body, cut = await answer.read(), False
        else:
            body, cut = await _begin(answer, self._most_bytes)
        self._answered_at = monotonic()
        return Answered(answer.status, answer.headers, body, cut=cut)

    async def _send_again(self, request: Request, url: URL, seconds: float) -> Answered:
        """Send a request again whose connection was found to be dead; the first may have arrived all the same."""
        try:
            answer = await self._deadlines.within(seconds, self._send(request, url))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            why = self._why(error, request, seconds)
            why.sent = True
            raise why from None
        return answer._replace(resent=True)

    def _why(self, error: Exception, request: Request, seconds: float) -> NoAnswer:
        """What an error means."""
        if isinstance(error, TimeoutError):
            return NoAnswer(f"no answer within {seconds:g} s", sent=True, late=True)
        if isinstance(error, aiohttp.ClientConnectorError):
            # aiohttp itself sends a GET again that met a dead connection, and does not tell.
            sent = request.method == "GET" and monotonic() - self._answered_at < 2 * KEEP_SECONDS
            reason = error.os_error.strerror or str(error.os_error)
            return NoAnswer(f"it cannot be reached: {reason}", sent=sent, reachable=False)
        if isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientError):
            return NoAnswer(f"its address cannot be used: {error}", sent=False, reachable=False)
        return NoAnswer(f"the connection broke: {str(error) or type(error).__name__}", sent=True)


class Clients:
    """The connections to any number of servers."""

    def __init__(self, slots: int, most_bytes: int = MOST_ANSWER_BYTES) -> None:
        """Assign.

        Args:
            slots: connections at once to one server.
            most_bytes: as of a client.
        """
        self._slots = slots
        self._most_bytes = most_bytes
        self._clients: dict[Origin, Client] = {}

    def of(self, url: URL) -> Client:
        """The client for the server of an address."""
        origin = origin_of(url)
        if origin not in self._clients:
            self._clients[origin] = Client(origin, self._slots, {}, self._most_bytes)
        return self._clients[origin]

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()


def _with_defaults(headers: Mapping[str, str]) -> dict[str, str]:
    given = {name.lower() for name in headers}
    return {**{name: value for name, value in _HEADERS.items() if name.lower() not in given}, **headers}


async def _begin(answer: aiohttp.ClientResponse, most_bytes: int) -> tuple[bytes, bool]:
    """The beginning of an answer that may be long, and whether more of it follows."""
    body = bytearray()
    try:
        while not (ended := answer.content.at_eof()) and len(body) < most_bytes:
            body += await answer.content.read(MOST_ANSWER_BYTES)
    finally:
        answer.close()  # a connection whose answer was read to its end is kept all the same
    return bytes(body), not ended


def retry_after(text: str, now: float) -> float:
    """The seconds that a Retry-After header asks for, within bounds: a number, or a date (RFC 9110, 10.2.3)."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now
        except (TypeError, ValueError, OverflowError):
            return 0.0
    return min(max(seconds, 0.0), MOST_RETRY_AFTER) if seconds == seconds else 0.0  # noqa: PLR0124 - not a number
