"""What is sent of an alert, and what sends it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

Event = Literal["raised", "resolved", "test"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one channel.

    Attributes:
        uid: the same, however often it is sent, so that who receives it can drop doubles.
        alert: its number; 0 for a test.
        event: what became of the alert.
        text: what was found, or why the alert is resolved.
        at: when that was.
    """

    uid: UUID
    alert: int
    kind: str
    event: Event
    subject: str
    task: str | None
    run: int | None
    text: str
    at: datetime


class NotSent(Exception):  # noqa: N818 - it is sent later
    """A message was not taken.

    Attributes:
        wait_seconds: for how long the receiver asked to be left alone.
    """

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class Channel(Protocol):
    """Something that tells people or programs."""

    @property
    def name(self) -> str:
        """Unlike that of all others."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of alerts that it is told; empty for all."""

    async def send(self, message: Message) -> str:
        """Send a message; return what is to be noted of that, or nothing.

        Raises:
            NotSent: why it was not taken.
        """

    async def close(self) -> None:
        """Close what is open."""
