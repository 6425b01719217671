"""Asks the processes: for their health, and for the pages that somebody wants to see."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from yarl import URL

from snk.errors import ServiceUnfit
from snk.portal.settings import Process

HEALTH_SECONDS = 3.0
ANSWER_SECONDS = 8.0
"""Less than a connection of the portal itself lasts."""
MOST_BYTES = 16 * 2**20
MOST_REASONS = 5


@dataclass(frozen=True, slots=True)
class Health:
    """How a process is.

    Attributes:
        look: the class of the style sheet that colours it.
        word: its state.
        reasons: why it is not healthy, the first few.
    """

    process: Process
    look: str
    word: str
    reasons: Sequence[str] = ()


class Processes:
    """The processes.

    Attributes:
        by_name: the processes.
    """

    def __init__(self, processes: Sequence[Process], session: aiohttp.ClientSession) -> None:
        self.by_name = {process.name: process for process in processes}
        self._session = session

    async def health(self) -> list[Health]:
        """How each of them is now."""
        return list(await asyncio.gather(*map(self._health, self.by_name.values())))

    @asynccontextmanager
    async def asked(
        self, process: Process, method: str, target: str, *, headers: dict[str, str], body: bytes
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer of a process to a request.

        Raises:
            ServiceUnfit: it cannot be reached, or does not know the token.
        """
        url = URL(f"{process.url}{target}", encoded=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=HEALTH_SECONDS, sock_read=ANSWER_SECONDS)
        sent = {**_credentials(process), **headers}
        try:
            async with self._session.request(
                method, url, headers=sent, data=body or None, allow_redirects=False, timeout=timeout
            ) as answer:
                if answer.status == 401 or answer.headers.get("location", "").startswith("/sign-in"):  # noqa: PLR2004
                    hint = f"Set token of the process {process.name} in [portal] to one that it knows"
                    raise ServiceUnfit(f"{process.name} does not know the token of the portal", hint=hint)
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            hint = "Is it running, and is its url in [portal] right?"
            raise ServiceUnfit(
                f"{process.name} does not answer at {process.url}: {_words(error)}", hint=hint
            ) from error

    async def _health(self, process: Process) -> Health:
        try:
            async with (
                asyncio.timeout(HEALTH_SECONDS),
                self.asked(process, "GET", "/health", headers={}, body=b"") as answer,
            ):
                told = orjson.loads(await body_of(answer))
        except (ServiceUnfit, TimeoutError) as error:
            return Health(process, "bad", "cannot be asked", (str(error) or "no answer in time",))
        except ValueError:
            return Health(process, "bad", "is something else", ("its answer is not that of SNK",))
        return _health_of(process, told)


async def body_of(answer: aiohttp.ClientResponse) -> bytes:
    """The body of an answer, or as much of it as is read."""
    body = bytearray()
    while not answer.content.at_eof() and len(body) < MOST_BYTES:
        body += await answer.content.read(MOST_BYTES - len(body))
    return bytes(body)


def _health_of(process: Process, told: Any) -> Health:
    word = str(told.get("status")) if isinstance(told, dict) else ""
    if word in ("ok", "busy"):
        return Health(process, "good", "healthy" if word == "ok" else word)
    reasons = [str(each) for each in told.get("reasons", ())] if isinstance(told, dict) else []
    more = [f"and {len(reasons) - MOST_REASONS:,} more"] if len(reasons) > MOST_REASONS else []
    return Health(process, "bad", "not healthy", (*reasons[:MOST_REASONS], *more))


def _credentials(process: Process) -> dict[str, str]:
    return {"Authorization": f"Bearer {process.token.get_secret_value()}"} if process.token else {}


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
