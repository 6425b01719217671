"""Why a request is refused, in the form that RFC 9457 gives to it.

The types are stable: a client may rely on them. The documentation of each system describes its own.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Response

from snk.db.errors import plain
from snk.errors import RowRefused, SnkError

MEDIA_TYPE = "application/problem+json"
URN = "urn:snk:problem:"
BUSY_SECONDS = 1
"""After how long a client should ask again."""


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """A request is refused, or cannot be answered.

    Attributes:
        status: the status of the answer.
        kind: the last part of its type, such as ``key-reused``.
        detail: what was wrong and what would be right.
        more: further members, such as ``field``.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        more: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.more = dict(more or {})
        self.headers = dict(headers or {})

    @property
    def body(self) -> bytes:
        """The problem as JSON."""
        told = {"type": URN + self.kind, "title": HTTPStatus(self.status).phrase, "status": self.status}
        return json.dumps({**told, "detail": self.detail, **self.more}, ensure_ascii=False).encode(
            "utf-8", "backslashreplace"
        )

    @property
    def response(self) -> Response:
        """The answer."""
        return Response(self.body, self.status, self.headers, MEDIA_TYPE)


def invalid(field: str, detail: str, **more: Any) -> Problem:
    """A part of the request that has no meaning here."""
    return Problem(422, "invalid-request", detail, {"field": field, **more})


def passing(kind: str, detail: str, seconds: float = BUSY_SECONDS) -> Problem:
    """The request cannot be answered now. Nothing was kept of it."""
    return Problem(503, kind, detail, headers={"Retry-After": str(max(1, round(seconds)))})


def of_database(error: SnkError) -> Problem:
    """What a failure of the database means for a client. The reason is logged and not told: it names the server."""
    if isinstance(error, RowRefused):
        return Problem(422, "invalid-request", plain(error.__cause__ or error), {"field": "after"})
    return passing("unavailable", "The database does not answer, or not as it should: send the request again later")
