"""What an executor is: it loads and reconciles the files of one type.

Packages add executors by entry points of the group ``snk.batch.executors``: the name is what ``executor`` of a file
says, the value a class that is made without arguments for each file.
"""

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Protocol, cast

from snk.batch.consumer.failing import FileFailed
from snk.batch.consumer.work import Work

GROUP = "snk.batch.executors"


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What comes of a comparison of what was loaded with what the provider has.

    Attributes:
        equal: whether it is the same.
        reason: if it is not, the numbers that show it; otherwise what the comparison does not prove.
        digest: of the records on both sides; None if the provider has no digests.
    """

    equal: bool
    reason: str = ""
    digest: str | None = None


class Executor(Protocol):
    """Loads and reconciles a file.

    Each method may raise `snk.batch.consumer.failing.FileFailed`, which ends the file, and `snk.errors.Wait`, after
    which it is called again with a growing delay. A consumer that dies leaves the file to another one, which calls the
    method again that was under way: it goes on from ``work.progress``.
    """

    async def precondition(self, work: Work) -> str | None:
        """Why the file cannot be loaded yet; None if it can. It is asked again at the platform's next call."""

    async def execute(self, work: Work) -> None:
        """Load the records, validate them, and store those that are valid. To be repeated without harm."""

    async def reconcile(self, work: Work) -> Reconciled:
        """Compare what is stored with what the provider has.

        Raises:
            snk.batch.consumer.failing.Again: call `execute` again.
        """


def executor(name: str) -> Executor:
    """A new executor.

    Raises:
        FileFailed: there is none of this name, or it cannot be imported.
    """
    found = {each.name: each for each in entry_points(group=GROUP)}
    if name not in found:
        hint = f"There are {', '.join(sorted(found))}" if found else "There are none"
        raise FileFailed(f"there is no executor {name!r}", hint=hint)
    try:
        return cast("Executor", found[name].load()())
    except (ImportError, AttributeError, TypeError) as error:
        raise FileFailed(f"the executor {name!r} cannot be used: {error}") from error
