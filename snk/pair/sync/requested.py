"""Rows that a flow is asked to bring by their uuids: a sweep found them, and tailing does not see them."""

from collections.abc import Iterable, Sequence


class RequestedRows:
    """The uuids that are still to be brought, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._uuids: list[str] = []

    def __len__(self) -> int:
        return len(self._uuids)

    def add(self, uuids: Iterable[str]) -> int:
        """Ask for these rows.

        Returns:
            How many of them were not asked for already.
        """
        known = set(self._uuids)
        new = [uuid for uuid in uuids if uuid not in known]
        self._uuids += new
        return len(new)

    def first(self, count: int) -> Sequence[str]:
        """So many of them, the oldest first."""
        return self._uuids[:count]

    def settle(self, count: int) -> None:
        """The first of them were brought, or are not there any more."""
        del self._uuids[:count]
