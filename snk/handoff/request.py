"""What a line of a log asks for: one HTTP request, and how it may be repeated."""

from typing import Any, Protocol

from snk.http.client import Request


class BadLine(Exception):  # noqa: N818 - it is a verdict on a line, not a fault of the program
    """A line that can never be sent; the message says why."""


class Write(Protocol):
    """One write that a backend missed."""

    @property
    def key(self) -> bytes:
        """What it changes: writes of one key are sent in the order of the log."""

    @property
    def removes(self) -> bool:
        """Whether it is done if what it removes is not there."""

    @property
    def adds(self) -> bool:
        """Whether sending it twice may change the backend twice."""

    def request(self, now: float) -> Request | None:
        """The request, at ``now`` in seconds since the epoch; None if its time to live is over."""

    def shown(self, *, values: bool) -> dict[str, Any]:
        """What a person reads about it; values only if they are asked for."""


class Codec(Protocol):
    """How writes are written in a log."""

    def decode(self, line: bytes) -> Write:
        """The write of one line, without its end.

        Raises:
            BadLine: there is none.
        """
