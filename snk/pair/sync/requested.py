"""Rows that a flow must deliver by uuid, because a sweep found them and tailing cannot see them."""

import asyncio
from collections.abc import Iterable, Sequence


class RequestedRows:
    """The uuids that are still to be delivered, in the order in which they were requested.

    Args:
        alarm: wakes the flow.
    """

    def __init__(self, alarm: asyncio.Event) -> None:
        self._alarm = alarm
        self._uuids: list[str] = []

    def __len__(self) -> int:
        return len(self._uuids)

    def add(self, uuids: Iterable[str]) -> int:
        """Request these rows.

        Returns:
            The number of rows that were not requested already.
        """
        known = set(self._uuids)
        new = [uuid for uuid in uuids if uuid not in known]
        self._uuids += new
        self._alarm.set()
        return len(new)

    def first(self, count: int) -> Sequence[str]:
        """Return up to ``count`` uuids, oldest first."""
        return self._uuids[:count]

    def settle(self, count: int) -> None:
        """Remove the first ``count`` uuids: their rows were delivered, or no longer exist."""
        del self._uuids[:count]
