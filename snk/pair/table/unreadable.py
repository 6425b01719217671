"""Rows that a server cannot return: reading the others by halving until each unreadable row is alone.

A read fails as a whole if one value cannot be sent: bytes that are not text in the encoding of the session, a damaged
document, a cast or an output function that fails. Such an error may have any code, so the code alone does not tell
whether a row is to blame. An error of a read that selects no row is not a row's fault: a right or a table is missing.
Otherwise SNK first reads only the ids and uuids, the names, of the rows, and then reads the rows by uuid, in halves.
For n rows, r of them bad, about 2 r log2(n / r) queries are needed.

Tailing (`snk.pair.core.tail`) stays lossless, although the names come from one snapshot and the rows from later ones:

- Rows are only ever added, so a row that was named exists later, unless it was deleted or changed meanwhile.
- An id counts as seen only if its row was returned under the same id, or exists but cannot be returned: it was read by
  uuid, alone, and that failed. Any other named row, and any row that did not exist yet when the names were read, counts
  as not seen: it is or becomes a hole, or lies above the greatest id.
- So the look at the writers, which follows, is later than the read from which every hole came.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from sqlalchemy.exc import DBAPIError

from snk.db.errors import NOT_IN_ENCODING, plain, sqlstate
from snk.errors import SnkError
from snk.pair.table.narrow import of_these_rows
from snk.pair.table.rejects import Refusal
from snk.pair.table.synced import Rows

MOST_QUESTIONS = 1000
TOO_LARGE = "54000"
# If a server sends bytes as text that are not valid UTF-8, the driver raises the error.
READ_ERRORS = (SnkError, UnicodeDecodeError)

Give = Callable[[Sequence[str]], Awaitable[Rows]]
"""Reads the rows that have the given uuids."""


class TooWide(Exception):  # noqa: N818 - not a fault, but a request for a smaller portion
    """A row is too wide for the requested portion."""

    def __init__(self, widest: int) -> None:
        super().__init__(widest)
        self.widest = widest


@dataclass(frozen=True, slots=True)
class Around:
    """The result of a read that isolates unreadable rows.

    Attributes:
        rows: the rows that the server returned.
        unread: why other rows cannot be returned, by uuid.
        settled: how many of the names are settled, counted from the first; fewer than all if too many queries were
            needed.
    """

    rows: Rows
    unread: Mapping[str, Refusal]
    settled: int

    def named(self, ids: Sequence[int], uuids: Sequence[str]) -> tuple[Rows, dict[str, int], dict[str, Refusal]]:
        """The settled names whose rows were found under the same id.

        Returns:
            The rows, in the order of the names; by uuid, the ids of rows that cannot be returned, and the reasons.
        """
        names = dict(zip(uuids[: self.settled], ids[: self.settled], strict=True))
        rows = self.rows
        at = {name: number for number, name in enumerate(zip(rows.uuids, rows.ids, strict=True))}
        order = [at[name] for name in names.items() if name in at]
        given = Rows(
            [rows.ids[number] for number in order],
            [rows.uuids[number] for number in order],
            tuple([column[number] for number in order] for column in rows.columns),
        )
        unread = {uuid: why for uuid, why in self.unread.items() if uuid in names}
        return given, {uuid: names[uuid] for uuid in unread}, unread


def fault_of(error: Exception, side: str, *, alone: bool) -> Refusal | None:
    """Why rows cannot be returned; None if something else caused the error.

    Args:
        error: one of `READ_ERRORS`.
        side: ``first`` or ``second``.
        alone: only one row was requested, so an error about its cost may be the row's fault, too.
    """
    cause = error if isinstance(error, UnicodeDecodeError) else error.__cause__
    if isinstance(cause, UnicodeDecodeError):
        state, words = NOT_IN_ENCODING[0], str(cause)
    elif isinstance(cause, DBAPIError) and of_these_rows(cause, 1 if alone else 2):
        state, words = sqlstate(cause), plain(cause)
        if state == TOO_LARGE and not alone:
            return None  # the server may return fewer rows at a time
    else:
        return None
    return Refusal(state, f"{side} cannot give this row: {words}")


async def read_around(ids: Sequence[int], uuids: Sequence[str], give: Give, side: str) -> Around:
    """Read named rows that the server cannot return all at once.

    Args:
        ids: the ids of the rows, ascending. Rows that share an id are settled together.
        uuids: the uuids of the rows, in the same order.
        give: reads rows by uuid; raises `READ_ERRORS`.
        side: ``first`` or ``second``.
    """
    given: list[Rows] = []
    unread: dict[str, Refusal] = {}
    settled = questions = 0
    alone = len(uuids) == 1
    waiting = _halves(uuids)
    while waiting and (questions < MOST_QUESTIONS or not _whole(ids, settled)):
        part = waiting.pop()
        questions += 1
        try:
            given.append(await give(part))
        except READ_ERRORS as error:
            fault = fault_of(error, side, alone=alone)
            if fault is None:
                raise
            if len(part) > 1:
                waiting += _halves(part)
                continue
            unread[part[0]] = fault
        settled += len(part)
    return Around(_together([rows for rows in given if rows]), unread, _whole(ids, settled))


def _halves(uuids: Sequence[str]) -> list[Sequence[str]]:
    """The second half, then the first, because the caller takes the next part from the end."""
    middle = len(uuids) // 2
    return [part for part in (uuids[middle:], uuids[:middle]) if part]


def _whole(ids: Sequence[int], settled: int) -> int:
    """The number of settled names without those that share an id with an unsettled one."""
    while 0 < settled < len(ids) and ids[settled - 1] == ids[settled]:
        settled -= 1
    return settled


def _together(parts: Sequence[Rows]) -> Rows:
    columns = zip(*(part.columns for part in parts), strict=True)
    return Rows(
        [i for part in parts for i in part.ids],
        [uuid for part in parts for uuid in part.uuids],
        tuple(list(chain.from_iterable(column)) for column in columns),
    )
