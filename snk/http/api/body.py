"""The body of a request, which is read no further than its limit."""

from collections.abc import MutableMapping
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from snk.http.api.problem import Problem


def refuse_length(scope: Scope, most: int) -> None:
    """Refuse a request whose head says that its body is too long.

    Raises:
        Problem: it is.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > most:
            raise too_long(most)


def too_long(most: int) -> Problem:
    """A body is too long."""
    return Problem(413, "too-long", f"The body is longer than {most:,} bytes", headers={"Connection": "close"})


def counted(receive: Receive, most: int) -> Receive:
    """Receive a body that may be too long, although its head does not say so."""
    size = 0

    async def receiving() -> MutableMapping[str, Any]:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise too_long(most)
        return message

    return receiving


async def body_of(request: Request) -> bytes:
    """The whole body, which must be JSON.

    Raises:
        Problem: it is of another type, or the client went away.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(415, "not-json", f"Content-Type is {media_type!r}; send application/json")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "not-json", "The body of a request may not be compressed")
    try:
        return await request.body()
    except ClientDisconnect:
        raise Problem(400, "not-json", "The body ended before it was whole") from None
