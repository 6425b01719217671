"""What the doctor has looked at, and what kept it from looking."""

from dataclasses import dataclass

from snk.core.finding import Finding
from snk.db.catalog import ServerFacts
from snk.db.server import Server
from snk.errors import SnkError, Stop
from snk.pair.catalog.shape import Shape


@dataclass(frozen=True, slots=True)
class Looked:
    """One server that could be reached, and its tables by their names in the settings."""

    server: Server
    facts: ServerFacts
    shapes: dict[str, Shape]


def broken_off(subject: str, error: SnkError) -> Finding:
    """Why the subject cannot be examined further."""
    return Finding("error", subject, error.args[0], error.hint or "Make it reachable from this machine")


def fatal(subject: str, fault: Stop) -> Finding:
    """A fault that prevents SNK from running."""
    return Finding("error", subject, fault.args[0], fault.hint)
