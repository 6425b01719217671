"""Why a file does not go on."""

from snk.errors import Stop, Wait


class FileFailed(Stop):
    """A file cannot be loaded until a person changes something; the message says what."""


class Later(Wait):
    """The provider does not answer just now.

    Attributes:
        seconds: for how long it asks to be left alone.
    """

    def __init__(self, message: str, *, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class Again(Wait):
    """The provider's records changed while they were loaded: load them once more, a few times at most."""
