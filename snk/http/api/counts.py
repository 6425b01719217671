"""Counts the requests that a service answered."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass(slots=True)
class Answers:
    """What a service answered since it started.

    Attributes:
        given: by the kind of request, such as ``GET /v1/records``, and status.
        seconds: how long requests of a kind took, in total.
        under_way: requests that are not answered yet.
    """

    given: Counter[tuple[str, int]] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    under_way: int = 0
