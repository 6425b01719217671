"""The base class of faults."""

from abc import ABC, abstractmethod

from snk.pair.drill.stage import Stage


class Fault(ABC):
    """A fault that happens to a pair under load, and its end.

    Attributes:
        name: its name on the command line.
        sentence: what happens, in human-readable form.
    """

    name: str
    sentence: str

    def impossible(self, stage: Stage) -> str:  # noqa: ARG002 - most faults are possible everywhere
        """Why it cannot be inflicted here, or an empty string."""
        return ""

    @abstractmethod
    async def inflict(self, stage: Stage) -> str:
        """Inflict the fault, and check that it has an effect.

        Returns:
            What was observed.

        Raises:
            NotSeen: it had no effect.
        """

    @abstractmethod
    async def heal(self, stage: Stage) -> str:
        """End the fault, whether or not it was inflicted in full.

        Returns:
            What was observed, or an empty string.

        Raises:
            NotSeen: the expected effect did not occur.
        """


def network_of(stage: Stage) -> str:
    """Why the network cannot be disturbed, or an empty string."""
    direct = [side.label for side in stage.place.sides if side.label not in stage.network]
    words = "no proxy can stand before {}: its URL wants the server itself (several hosts, a socket or verify-full)"
    return words.format(" and ".join(direct)) if direct else ""
