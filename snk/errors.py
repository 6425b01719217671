"""All errors that SNK raises, grouped by what the caller does about them.

::

    SnkError                 carries a message and a hint: how to fix the problem
    ├── Wait                 retry automatically, with backoff; nothing is lost meanwhile
    │   ├── Unavailable      a server cannot be reached, went away, or asked for a retry
    │   │   ├── TooLarge     a batch is more than it can hold at once
    │   │   └── TooSlow      a batch takes it longer than a statement may take
    │   ├── Busy             all connections of a service to its database are in use
    │   ├── ParentMissing    rows refer to others that are not in the destination, or not yet
    │   ├── MarkMoved        the mark in the destination is not the one last written here
    │   ├── LeaseLost        another daemon has the lease of the table
    │   ├── TableChanged     the table is no longer the one that was looked up
    │   └── LogFull          a log of missed writes has no room for another one
    ├── RowRefused           the destination refuses rows because of their content
    └── Stop                 a person has to change something first; exit code 2
        ├── SettingsError    a setting is missing, unknown or wrong
        ├── DatabaseUnfit    a database refuses SNK, or the two cannot be a pair
        ├── TableUnfit       a table cannot be synced as it is
        ├── CountersUnfit    a Redis refuses SNK, or cannot be relied upon
        ├── ProjectUnfit     a project does not exist, or may not be written now
        ├── PlanUnfit        a plan cannot be applied: it was applied before, or is out of date
        ├── ServiceUnfit     the HTTP service cannot be started, or does not answer
        └── ServersUnfit     the embedded servers cannot be started here

Messages name the server by its label (``first``, ``second``) and address, and never contain a password.
"""


class SnkError(Exception):
    """The base of all errors; the message is written for the person who can fix the problem.

    Attributes:
        hint: how to fix the problem, in one sentence, or an empty string.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message.removesuffix('.')}. {self.hint}" if self.hint else message


class Wait(SnkError):  # noqa: N818 - the families are named after what the caller does
    """The problem passes without intervention: drop what is in memory, wait with backoff, start again."""


class Unavailable(Wait):
    """A server cannot be reached, went away, or asked for a retry."""


class TooLarge(Unavailable):
    """A batch is more than a server can hold at once."""


class TooSlow(Unavailable):
    """A server works on a batch for longer than a statement may take."""


class Busy(Wait):
    """All connections of a service to its database are in use."""


class ParentMissing(Wait):
    """Rows refer to others that are not in the destination, or not yet."""


class TableChanged(Wait):
    """A column was added to the table, or another table took its name: look up the table again."""


class MarkMoved(Wait):
    """The mark in the destination is not the one last written: somebody else wrote it, or a crash undid it."""


class LeaseLost(Wait):
    """Another daemon has taken the lease of the table.

    Attributes:
        epoch: the epoch of that lease.
    """

    def __init__(self, message: str, *, epoch: int) -> None:
        super().__init__(message)
        self.epoch = epoch


class LogFull(Wait):
    """A log of missed writes has no room: the disk is full, or the logs of a backend have reached their limit."""


class RowRefused(SnkError):  # noqa: N818 - as Wait
    """The destination refuses a batch because of its rows' content, such as a failed CHECK."""


class Stop(SnkError):  # noqa: N818 - as Wait
    """A person has to change something first."""


class SettingsError(Stop):
    """A setting is missing, unknown or wrong."""


class DatabaseUnfit(Stop):
    """A database refuses SNK, or the two cannot be a pair: a standby, one database twice, a missing right."""


class TableUnfit(Stop):
    """A table cannot be synced as it is."""


class CountersUnfit(Stop):
    """A Redis refuses SNK, or is a replica, which may be behind."""


class ProjectUnfit(Stop):
    """A project does not exist, or it may not be written now: it is in process, or another run has it."""


class PlanUnfit(Stop):
    """A plan cannot be applied: it was applied before, its before-values no longer hold, or its file is damaged."""


class ServiceUnfit(Stop):
    """The HTTP service of the daemon cannot be started, or does not answer."""


class ServersUnfit(Stop):
    """The embedded servers cannot be started here."""
