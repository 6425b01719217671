"""What a process logged last, as a page shows it. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

MOST_EVENTS = 12
"""On a page that shows other things, too."""
OWN_FACTS = frozenset(("event", "level", "timestamp"))
OTHERS = ", and others"
LOOKS = {"warning": "warn", "error": "bad", "critical": "bad"}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was logged, once or several times in a row."""

    name: str
    level: str
    at: str
    facts: str
    times: int

    @property
    def look(self) -> str:
        """The class that colours its level."""
        return LOOKS.get(self.level, "")


def events(recent: Iterable[Mapping[str, Any]], most: int, *, together: bool = True) -> list[Event]:
    """What was logged last, the newest first.

    Args:
        recent: the oldest first.
        most: so many at most.
        together: whether the same event several times in a row is told once, with the facts of the last time.
    """
    told: list[Event] = []
    for logged in reversed(list(recent)):
        name, level = str(logged.get("event", "")).replace("_", " "), str(logged.get("level", ""))
        if together and told and (told[-1].name, told[-1].level) == (name, level):
            told[-1] = _again(told[-1], _facts(logged))
            continue
        if len(told) == most:
            break
        told.append(Event(name, level, str(logged.get("timestamp", ""))[:19], _facts(logged), 1))
    return told


def _facts(logged: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in logged.items() if key not in OWN_FACTS)


def _again(event: Event, facts: str) -> Event:
    """The same event once more; if it was about something else, that is said."""
    other = event.facts.removesuffix(OTHERS) != facts and not event.facts.endswith(OTHERS)
    return replace(event, facts=event.facts + OTHERS if other else event.facts, times=event.times + 1)
