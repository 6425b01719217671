"""What an answer of a backend means for a line. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["done", "dead", "pause", "again"]
"""What becomes of a line: it is finished; it is a dead letter; its backend is paused; or it is sent again later."""

VERSION_HEADERS = ("version", "vererror")
"""Headers of an answer that comes from hustdb itself and not from something in front of it."""


def versioned(headers: Mapping[str, str]) -> bool:
    """Whether an answer carries a header of hustdb."""
    return any(name in headers for name in VERSION_HEADERS)


@dataclass(frozen=True, slots=True)
class Rules:
    """Which answers mean what.

    Attributes:
        table: by status, such as ``404``; by status and whether a removal was asked for, such as ``412 removal``; or by
            class, such as ``5xx``. The more specific one applies.
        otherwise: for every other answer.
        endless: whether a line is sent again without a limit of tries.
    """

    table: Mapping[str, Outcome]
    otherwise: Outcome = "pause"
    endless: bool = False

    def judge(self, status: int, *, versioned: bool, removes: bool) -> Outcome:
        """What an answer means.

        Args:
            status: of the answer.
            versioned: whether it carries a header of hustdb.
            removes: whether the request was a removal.
        """
        names = [str(status), f"{status // 100}xx"]
        if versioned:
            names.insert(0, f"{status} versioned")
        if removes:
            names = [f"{name} removal" for name in names] + names
        return next((self.table[name] for name in names if name in self.table), self.otherwise)


_LATER: dict[str, Outcome] = {"408": "again", "425": "again", "429": "again", "5xx": "again"}
HUSTDB = Rules(
    {
        "200": "done",
        "404 versioned removal": "done",
        "412 removal": "done",
        "400": "dead",
        "412": "dead",
        "404 versioned": "dead",
        "401": "pause",
        "405": "pause",
        "404": "pause",
        "403": "again",
        **_LATER,
    }
)
"""A 404 without hustdb's headers comes from a proxy or a wrong path: dropping the line would lose it."""
HTTP = Rules(
    {
        "2xx": "done",
        "410 removal": "done",
        "401": "pause",
        "403": "pause",
        "404": "pause",
        "405": "pause",
        "407": "pause",
        "4xx": "dead",
        **_LATER,
    }
)
"""For backends of any kind."""
ORIGINAL = Rules({"200": "done", "400": "done", "412": "done"}, otherwise="again", endless=True)
"""As hustdb's own sync server does."""
