"""Answers with an ETag, compressed if the client wants it: whole ones, and streams."""

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from hashlib import sha256

import structlog
from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from snk.errors import SnkError
from snk.serve.counts import Counts

GZIP_BITS = 16 + zlib.MAX_WBITS
LEVEL = 1
LEAST_BYTES = 512
"""A shorter body is not compressed."""
LONG_BYTES = 64 * 1024
"""A longer one is compressed by another thread."""
JSON = "application/json"
JSON_LINES = "application/jsonl"
COMPRESSED = "-gzip"
VARY = {"Vary": "Accept-Encoding, Authorization", "Cache-Control": "private, no-cache"}
_CODING = re.compile(r"\s*(gzip|x-gzip|\*)\s*(?:;\s*q\s*=\s*([01](?:\.\d*)?)\s*)?", re.IGNORECASE)

log = structlog.get_logger()


def wants_gzip(request: Request) -> bool:
    """Whether the client takes gzip, by its own name or as one of all codings."""
    given = [_CODING.fullmatch(each) for each in request.headers.get("accept-encoding", "").split(",")]
    weights = {found[1].lower(): float(found[2] or 1) for found in given if found}
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def tag_of(content: bytes | str) -> str:
    """A strong tag for this content."""
    return sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()[:32]


def headers_of(tag: str, *, gzip: bool) -> dict[str, str]:
    """The headers of an answer with this tag; each coding has a tag of its own, because their bytes differ."""
    coding = {"Content-Encoding": "gzip"} if gzip else {}
    return {"ETag": f'"{tag}{COMPRESSED if gzip else ""}"', **VARY, **coding}


def not_modified(request: Request, tag: str) -> Response | None:
    """The answer to a client that has this content already, in whatever coding."""
    given = request.headers.get("if-none-match", "")
    tags = {each.strip().removeprefix("W/").strip('"').removesuffix(COMPRESSED) for each in given.split(",")}
    if tag not in tags and given.strip() != "*":
        return None
    return Response(status_code=304, headers={"ETag": f'"{tag}"', **VARY})


async def whole(
    request: Request, body: bytes, media_type: str = JSON, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer with this body, or that the client has it already."""
    tag = tag_of(body)
    if answer := not_modified(request, tag):
        return answer
    gzip = len(body) >= LEAST_BYTES and wants_gzip(request)
    if gzip:
        body = await asyncio.to_thread(compressed, body) if len(body) > LONG_BYTES else compressed(body)
    return Response(body, 200, {**headers_of(tag, gzip=gzip), **(headers or {})}, media_type)


def compressed(body: bytes) -> bytes:
    """A body in gzip."""
    coder = zlib.compressobj(LEVEL, wbits=GZIP_BITS)
    return coder.compress(body) + coder.flush()


class Streamed(Response):
    """An answer that is sent as it is made.

    If it breaks off in the middle, the connection is closed without the chunk that ends the body, and so the client
    knows. If the client goes away, what makes the answer is cancelled.

    Args:
        parts: makes the body.
        headers: of the answer.
        gzip: whether it is compressed.
        counts: where a broken answer is counted.
    """

    def __init__(self, parts: AsyncIterator[bytes], headers: Mapping[str, str], counts: Counts, *, gzip: bool) -> None:
        super().__init__(status_code=200, headers=dict(headers), media_type=JSON_LINES)
        del self.headers["content-length"]
        self._parts = parts
        self._counts = counts
        self._coder = zlib.compressobj(LEVEL, wbits=GZIP_BITS) if gzip else None

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                self._counts.aborted += 1
        finally:
            for task in (sending, leaving):
                task.cancel()
            with suppress(asyncio.CancelledError):
                await sending
            with suppress(asyncio.CancelledError):
                await leaving

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for part in self._parts:
                given = self._coder.compress(part) if self._coder else part
                if given:
                    await send({"type": "http.response.body", "body": given, "more_body": True})
        except SnkError as error:
            # The protocol closes a connection whose answer was not completed.
            log.warning("answer_broke_off", reason=str(error), effect="the client sees a body without its end")
            self._counts.aborted += 1
            return
        finally:
            await self._parts.aclose()  # type: ignore[attr-defined]
        rest = self._coder.flush() if self._coder else b""
        await send({"type": "http.response.body", "body": rest, "more_body": False})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
