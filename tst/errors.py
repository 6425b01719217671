"""All errors that TST raises, grouped by what the caller does about them.

::

    TstError          carries its whole text: what is wrong, where, and how to fix it
    ├── Unavailable   a server cannot be reached, went away, or asked for a retry: wait
    ├── TableMissing  the table does not exist: at the start wait for it, later stop
    ├── RowsPresent   the server already holds these uuids
    └── Stop          a person has to change something first; exit code 2

No message contains a password: servers are named by their label (``first``, ``second``) and address.
"""


class TstError(Exception):
    """The base of all errors; the message is written for the person who can fix the problem."""


class Unavailable(TstError):  # noqa: N818 - named after what the caller does about it
    """A server cannot be reached, went away, or asked for a retry."""


class TableMissing(TstError):  # noqa: N818 - as Unavailable
    """The table does not exist."""


class RowsPresent(TstError):  # noqa: N818 - as Unavailable
    """The server already holds a row with one of these uuids; nothing of the batch was written."""


class Stop(TstError):  # noqa: N818 - as Unavailable
    """A person has to change something first."""
