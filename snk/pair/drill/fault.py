"""What a fault is."""

from abc import ABC, abstractmethod

from snk.pair.drill.stage import Stage


class Fault(ABC):
    """Something bad that happens to a pair under load, and its end.

    Attributes:
        name: as it is called on the command line.
        sentence: what happens, for people.
    """

    name: str
    sentence: str

    def impossible(self, stage: Stage) -> str:  # noqa: ARG002 - most faults are possible everywhere
        """Why it cannot be inflicted here, or an empty string."""
        return ""

    @abstractmethod
    async def inflict(self, stage: Stage) -> str:
        """Do it, and see that it has an effect.

        Returns:
            What was seen.

        Raises:
            NotSeen: it had none.
        """

    @abstractmethod
    async def heal(self, stage: Stage) -> str:
        """End it; whether or not it was inflicted in full.

        Returns:
            What was seen, or an empty string.

        Raises:
            NotSeen: what is to follow did not come.
        """


def network_of(stage: Stage) -> str:
    """Why the network cannot be touched, or an empty string."""
    direct = [side.label for side in stage.place.sides if side.label not in stage.network]
    words = "no proxy can stand before {}: its URL wants the server itself (several hosts, a socket or verify-full)"
    return words.format(" and ".join(direct)) if direct else ""
