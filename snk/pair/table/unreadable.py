"""Rows that a server cannot give: read around, until those stand alone.

A read fails as a whole where one value cannot be sent: bytes that are no text in the encoding of the session, a damaged
document, a cast or an output function that fails. Such an error may have any code, so the code alone does not tell
whether a row is to blame. What fails where nothing is asked for is not a row's fault: a right or a table is missing.
Otherwise the rows are first named, by a read of their ids and uuids alone, and then asked for by name, in halves. Of n
rows, r of them bad, about 2 r log2(n / r) questions are needed.

Tailing (`snk.pair.core.tail`) stays lossless, though the names come from one snapshot and the rows from later ones:

- Rows are only ever added, so what was named is there later, unless it was deleted or changed meanwhile.
- An id counts as seen only if its row was given, under the same id, or is there and cannot be given: it was asked for
  by name, alone, and that failed. Whatever else was named, and whatever was not there yet when the names were read,
  counts as not seen: it is or becomes a hole, or lies above the greatest id.
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
# Bytes that a server calls text and sends as they are, but that are no UTF-8, are met by the driver.
READ_ERRORS = (SnkError, UnicodeDecodeError)

Give = Callable[[Sequence[str]], Awaitable[Rows]]
"""Reads the rows of some uuids."""


class TooWide(Exception):  # noqa: N818 - it is no fault, and asks for less
    """A row is too wide for the portion that was asked for."""

    def __init__(self, widest: int) -> None:
        super().__init__(widest)
        self.widest = widest


@dataclass(frozen=True, slots=True)
class Around:
    """What came of reading around them.

    Attributes:
        rows: those that were given.
        unread: why others cannot be given, by uuid.
        settled: how many of the names this is about, from the first on; fewer than all where it took many questions.
    """

    rows: Rows
    unread: Mapping[str, Refusal]
    settled: int

    def named(self, ids: Sequence[int], uuids: Sequence[str]) -> tuple[Rows, dict[str, int], dict[str, Refusal]]:
        """Of the names that are settled, what was found under the same id.

        Returns:
            The rows, in the order of the names; the ids of those that cannot be given, and why, by uuid.
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
    """Why rows cannot be given; None where something else is to blame for the error.

    Args:
        error: one of `READ_ERRORS`.
        side: ``first`` or ``second``.
        alone: only one row was asked for, so what it costs the server may be its own fault, too.
    """
    cause = error if isinstance(error, UnicodeDecodeError) else error.__cause__
    if isinstance(cause, UnicodeDecodeError):
        state, words = NOT_IN_ENCODING[0], str(cause)
    elif isinstance(cause, DBAPIError) and of_these_rows(cause, 1 if alone else 2):
        state, words = sqlstate(cause), plain(cause)
        if state == TOO_LARGE and not alone:
            return None  # fewer may well be given together
    else:
        return None
    return Refusal(state, f"{side} cannot give this row: {words}")


async def read_around(ids: Sequence[int], uuids: Sequence[str], give: Give, side: str) -> Around:
    """Read the rows of these names, all of which cannot be read at once.

    Args:
        ids: theirs, ascending. Rows that share one are settled together.
        uuids: the names, in the same order.
        give: raises `READ_ERRORS`.
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
    """The second half and the first, which is the next to be taken from the end."""
    middle = len(uuids) // 2
    return [part for part in (uuids[middle:], uuids[:middle]) if part]


def _whole(ids: Sequence[int], settled: int) -> int:
    """As many of the names as are settled, but none of those that share an id with one that is not."""
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
