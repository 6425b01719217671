"""Random histories of transactions that draw ids, insert, commit late, roll back, and of a reader between them.

The same histories drive the pure tail against a model (tests/pair/core/test_tail.py) and the real one against real
servers (tests/pair/sync/test_histories.py).
"""

from dataclasses import dataclass
from enum import Enum, auto

from hypothesis import strategies as st


class Do(Enum):
    """What happens next in a history."""

    DRAW = auto()  # draw an id and keep it for a later insert
    INSERT = auto()  # insert a row, under the id drawn before if there is one
    SAVEPOINT = auto()
    ROLLBACK_TO = auto()  # undo what came after the savepoint, or everything, and go on
    COMMIT = auto()
    ROLLBACK = auto()
    ADVANCE = auto()  # the reader runs its next statement


@dataclass(frozen=True)
class Event:
    """One step of a history; ``writer`` numbers the transactions' sessions."""

    do: Do
    writer: int = 0


_weights = [Do.DRAW, Do.INSERT, Do.INSERT, Do.INSERT, Do.SAVEPOINT, Do.ROLLBACK_TO, Do.COMMIT, Do.COMMIT, Do.ROLLBACK]
_writing = st.builds(Event, st.sampled_from(_weights), st.integers(0, 3))
_reading = st.just(Event(Do.ADVANCE))


def histories(most: int) -> st.SearchStrategy[list[Event]]:
    """Histories of at most so many events."""
    return st.lists(st.one_of(_writing, _writing, _reading), max_size=most)
