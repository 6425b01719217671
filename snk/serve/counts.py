"""Counts what the service did."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counts:
    """What the service did since it started.

    Attributes:
        answers: by the kind of request, such as ``GET /v1/records``, and status.
        records_read: by dataset.
        records_written: by dataset.
        replayed: answers that were given before, by dataset.
        aborted: answers that broke off, because the client went away or the database failed.
        under_way: requests that are not answered yet.
        seconds: how long requests of a kind took, in total.
    """

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    records_read: Counter[str] = field(default_factory=Counter)
    records_written: Counter[str] = field(default_factory=Counter)
    replayed: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    aborted: int = 0
    under_way: int = 0
