"""Counts what the service did."""

from collections import Counter
from dataclasses import dataclass, field

from snk.http.api.counts import Answers


@dataclass(slots=True)
class Counts:
    """What the service did since it started.

    Attributes:
        answers: to requests.
        records_read: by dataset.
        records_written: by dataset.
        replayed: answers that were given before, by dataset.
        aborted: answers that broke off, because the client went away or the database failed.
    """

    answers: Answers = field(default_factory=Answers)
    records_read: Counter[str] = field(default_factory=Counter)
    records_written: Counter[str] = field(default_factory=Counter)
    replayed: Counter[str] = field(default_factory=Counter)
    aborted: int = 0
