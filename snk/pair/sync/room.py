"""Room in memory: flows that are behind read large batches, a few of them at a time; all others read small ones."""

from snk.pair.sync.limits import MOST_FULL_TABLES, Limits

LARGE = 2 * MOST_FULL_TABLES  # both flows of a table


class Room:
    """Who may read large batches.

    Attributes:
        small: the limits of all others; those of large batches if there are few tables.
        wanted: somebody found no place, and none was given back since.
    """

    def __init__(self, limits: Limits) -> None:
        self.small = self._limits = limits
        self.wanted = False
        self._left = LARGE

    def share(self, tables: int) -> None:
        """There are so many tables now."""
        self.small = self._limits.shared_by(tables)

    def take(self) -> bool:
        """Take one of the places for large batches; return whether there was one."""
        if self._left:
            self._left -= 1
            return True
        self.wanted = True
        return False

    def give_back(self) -> None:
        """Leave the place to others."""
        self.wanted = False
        self._left += 1
